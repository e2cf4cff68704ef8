//! Users and their hashed passwords, as htpasswd(1) files hold them, and the Basic scheme (RFC 7617).
//!
//! Checking a password takes a tenth of a second or more, and that is the point of such hashes. So
//! [`Users::recall`] is asked first, which knows the passwords that were right before by a quick keyed
//! digest; what it does not know is for [`Users::check`], whose result blocks.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier as _;
use argon2::password_hash::phc::PasswordHash;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::{Blake2s256, Digest as _};
use subtle::ConstantTimeEq as _;

/// Longer passwords are wrong, in bytes; bcrypt looks at the first 72 alone.
const LONGEST_PASSWORD: usize = 1024;

/// Memory an Argon2 hash may ask for, in KiB: what a file says is taken at its word.
const MOST_MEMORY: u32 = 1024 * 1024;

/// Who has a password.
pub struct Users {
    hashes: BTreeMap<String, Hash>,
    /// Of each user the digest of the password that was right.
    known: Mutex<BTreeMap<String, [u8; 32]>>,
    /// Makes digests worthless outside this process.
    key: [u8; 32],
    /// One is checked at a time: whoever guesses does not get all cores, nor all memory.
    busy: AtomicBool,
}

/// The turn to find out whether a password is right.
#[must_use = "nobody else is checked meanwhile"]
pub struct Checking {
    users: Arc<Users>,
    credentials: Credentials,
}

enum Hash {
    Argon2(Box<PasswordHash>),
    Bcrypt(String),
}

/// User and password as a client sent them.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The name, without a colon.
    pub user: String,
    password: Vec<u8>,
}

/// Why a file of users is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UsersError {
    /// A name that stands there twice.
    #[error("line {0}: the user stands there already")]
    Again(usize),
    /// Nobody could get in.
    #[error("no users in it (add one: htpasswd -B FILE USER)")]
    Empty,
    /// No colon, or no name before it.
    #[error("line {0}: not USER:HASH")]
    Form(usize),
    /// A hash that can't be read.
    #[error(
        "line {0}: the hash is damaged or asks for too much (make a new one: htpasswd -B FILE USER)"
    )]
    Hash(usize),
    /// MD5, SHA-1, crypt or plain text.
    #[error(
        "line {0}: only bcrypt ($2y$) and Argon2 hashes are taken, others are too quickly guessed \
         (make one: htpasswd -B FILE USER)"
    )]
    Weak(usize),
}

impl Users {
    /// Reads the text of an htpasswd file: `USER:HASH` lines, bcrypt (`$2y$`, `$2b$`, `$2a$`) or a PHC
    /// string of Argon2 (`$argon2id$`); empty lines and those that begin with `#` are passed over.
    ///
    /// # Errors
    /// [`UsersError`], with the line.
    pub fn from_htpasswd(text: &str) -> Result<Users, UsersError> {
        let mut hashes = BTreeMap::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = match line.split_once(':') {
                Some((user, hash)) if !user.is_empty() => (user, hash),
                _ => return Err(UsersError::Form(number)),
            };
            let hash = if ["$2y$", "$2b$", "$2a$"].iter().any(|kind| hash.starts_with(kind)) {
                hash.parse::<bcrypt::HashParts>().map_err(|_| UsersError::Hash(number))?;
                Hash::Bcrypt(hash.to_owned())
            } else if hash.starts_with("$argon2") {
                let parsed = PasswordHash::new(hash).map_err(|_| UsersError::Hash(number))?;
                let whole = parsed.salt.is_some() && parsed.hash.is_some();
                let cost = argon2::Params::try_from(&parsed);
                if !whole || !cost.is_ok_and(|cost| cost.m_cost() <= MOST_MEMORY) {
                    return Err(UsersError::Hash(number));
                }
                Hash::Argon2(Box::new(parsed))
            } else {
                return Err(UsersError::Weak(number));
            };
            if hashes.insert(user.to_owned(), hash).is_some() {
                return Err(UsersError::Again(number));
            }
        }
        if hashes.is_empty() {
            return Err(UsersError::Empty);
        }
        let mut key = [0; 32];
        // Whatever comes first at start-up may wait for the kernel's entropy, not a request.
        let filled = rustix::rand::getrandom(&mut key, rustix::rand::GetRandomFlags::empty());
        debug_assert!(filled.is_ok_and(|count| count == key.len()), "32 bytes are never cut");
        Ok(Users { hashes, known: Mutex::default(), key, busy: AtomicBool::new(false) })
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.hashes.keys().map(String::as_str)
    }

    /// Whether the password was right before. Takes a microsecond, and as long for right as for wrong
    /// ones of the same length.
    #[must_use]
    pub fn recall(&self, credentials: &Credentials) -> bool {
        let digest = self.digest(&credentials.password);
        let known = lock(&self.known);
        known.get(&credentials.user).is_some_and(|known| bool::from(known.ct_eq(&digest)))
    }

    /// The turn to check a password; None while another one's is not over.
    pub fn check(self: &Arc<Self>, credentials: &Credentials) -> Option<Checking> {
        if self.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(Checking { users: Arc::clone(self), credentials: credentials.clone() })
    }

    /// A user who does not exist takes as long as one who does, so that names can't be found by the
    /// time.
    fn verify(&self, credentials: &Credentials) -> bool {
        if credentials.password.len() > LONGEST_PASSWORD {
            return false;
        }
        // Somebody else may have asked the same meanwhile.
        if self.recall(credentials) {
            return true;
        }
        let known = self.hashes.get(&credentials.user);
        let Some(hash) = known.or_else(|| self.hashes.values().next()) else {
            return false;
        };
        let right = match hash {
            Hash::Argon2(hash) => {
                Argon2::default().verify_password(&credentials.password, &**hash).is_ok()
            }
            Hash::Bcrypt(hash) => bcrypt::verify(&credentials.password, hash).unwrap_or(false),
        };
        if right && known.is_some() {
            let digest = self.digest(&credentials.password);
            lock(&self.known).insert(credentials.user.clone(), digest);
            return true;
        }
        false
    }

    fn digest(&self, password: &[u8]) -> [u8; 32] {
        Blake2s256::new().chain_update(self.key).chain_update(password).finalize().into()
    }
}

impl Checking {
    /// Whether it is right; if so, it is noted for [`Users::recall`]. Blocks for as long as the hash
    /// wants.
    #[must_use]
    pub fn run(self) -> bool {
        self.users.verify(&self.credentials)
    }
}

impl Drop for Checking {
    fn drop(&mut self) {
        self.users.busy.store(false, Ordering::Release);
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.hashes.keys()).finish()
    }
}

impl Credentials {
    /// Reads the value of an Authorization header. None if it is of another scheme or malformed.
    ///
    /// ```
    /// use sockeye_services::http::Credentials;
    /// let credentials = Credentials::read(b"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").expect("RFC 7617 §2");
    /// assert_eq!(credentials.user, "Aladdin");
    /// assert_eq!(Credentials::read(b"Bearer abc"), None);
    /// ```
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Credentials> {
        let (scheme, rest) = value.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let pair = STANDARD.decode(rest.trim_ascii()).ok()?;
        let colon = pair.iter().position(|byte| *byte == b':')?;
        let (user, password) = pair.split_at_checked(colon)?;
        let user = str::from_utf8(user).ok()?.to_owned();
        Some(Credentials { user, password: password.get(1..)?.to_owned() })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        let value = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        Credentials::read(value.as_bytes()).expect("well-formed")
    }

    fn file() -> String {
        let bcrypt = bcrypt::hash("se:cret", 4).expect("a hash");
        let argon = Argon2::new(
            argon2::Algorithm::Argon2id,
            argon2::Version::V0x13,
            argon2::Params::new(64, 1, 1, None).expect("small ones"),
        );
        let argon = argon2::password_hash::PasswordHasher::<PasswordHash>::hash_password_with_salt(
            &argon,
            b"hunter2",
            b"a salt of enough",
        );
        format!("# users\nann:{bcrypt}\n\nbob:{}\n", argon.expect("a hash"))
    }

    #[test]
    fn the_right_password_is_right_and_known_from_then_on() {
        let users = Arc::new(Users::from_htpasswd(&file()).expect("two users"));
        let verify = |credentials: &Credentials| users.check(credentials).expect("its turn").run();
        assert_eq!(users.names().collect::<Vec<_>>(), ["ann", "bob"]);
        for (user, password) in [("ann", "se:cret"), ("bob", "hunter2")] {
            let right = credentials(user, password);
            assert!(!users.recall(&right));
            assert!(verify(&right));
            assert!(users.recall(&right));
            for wrong in
                [credentials(user, "x"), credentials(user, ""), credentials("eve", password)]
            {
                assert!(!users.recall(&wrong) && !verify(&wrong), "{wrong:?}");
            }
            assert!(users.recall(&right) && verify(&right));
        }
        assert!(!verify(&credentials("ann", &"x".repeat(2000))));
        let turn = users.check(&credentials("ann", "x")).expect("its turn");
        assert!(users.check(&credentials("bob", "x")).is_none());
        drop(turn);
        assert!(users.check(&credentials("bob", "x")).is_some());
    }

    #[test]
    fn files_with_a_fault_are_refused_with_the_line() {
        let good = file();
        for (text, error) in [
            ("", UsersError::Empty),
            ("# nobody\n", UsersError::Empty),
            ("ann\n", UsersError::Form(1)),
            (":x\n", UsersError::Form(1)),
            ("\nann:plain\n", UsersError::Weak(2)),
            ("ann:$apr1$lZL6V/ci$eIMz/iKDkbtys/uU7LEK00\n", UsersError::Weak(1)),
            ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n", UsersError::Weak(1)),
            ("ann:$2y$05$short\n", UsersError::Hash(1)),
            ("ann:$argon2id$v=19$m=64\n", UsersError::Hash(1)),
            (
                "ann:$argon2id$v=19$m=4000000,t=1,p=1$c29tZXNhbHRzYWx0$MTIzNDU2Nzg5MDEyMzQ1Ng\n",
                UsersError::Hash(1),
            ),
        ] {
            assert_eq!(Users::from_htpasswd(text).expect_err(text), error, "{text}");
        }
        let twice = format!("{good}{}", good.lines().nth(1).expect("ann's"));
        assert_eq!(Users::from_htpasswd(&twice).expect_err("twice"), UsersError::Again(5));
    }

    #[test]
    fn credentials_are_read_strictly() {
        for value in ["", "Basic", "Basic ", "Basic !!!", "Basic YW5u", "Digest YTpi", "Basic /zph"]
        {
            assert_eq!(Credentials::read(value.as_bytes()), None, "{value}");
        }
        assert_eq!(Credentials::read(b"bAsIc YTpi"), Some(credentials("a", "b")));
        assert_eq!(Credentials::read(b"Basic YTo="), Some(credentials("a", "")));
        assert_eq!(Credentials::read(b"Basic YTpiOmM="), Some(credentials("a", "b:c")));
        assert!(!format!("{:?}", credentials("a", "topsecret")).contains("topsecret"));
    }
}
