//! What the page of a folder has for uploads: a form that works without a script, and a script that
//! shows how far it is.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Shows how far the form is. It stands behind the form, and makes requests of this server.
pub(in super::super) const SCRIPT: &str = "\
(()=>{const form=document.getElementById('upload'),bar=form.querySelector('progress'),\
said=form.querySelector('output'),button=form.querySelector('button');\
form.addEventListener('submit',event=>{event.preventDefault();const request=new XMLHttpRequest();\
const end=text=>{bar.hidden=true;button.disabled=false;said.textContent=text};\
request.open('POST',form.action);request.setRequestHeader('Accept','application/json');\
request.upload.onprogress=event=>{if(!event.lengthComputable)return;bar.max=event.total;\
bar.value=event.loaded;said.textContent=Math.floor(100*event.loaded/event.total)+' %'};\
request.onload=()=>{let answer={};try{answer=JSON.parse(request.responseText)}catch{}\
if(request.status<300)return location.reload();\
end((answer.refused||[]).map(file=>file.name+': '+file.reason).join(', ')||request.responseText)};\
request.onerror=()=>end('The connection broke. What was whole by then is saved.');\
bar.hidden=false;bar.removeAttribute('value');button.disabled=true;said.textContent='';\
request.send(new FormData(form))})})()";

/// The form, for a page whose address is that of the folder.
pub(in super::super) const FORM: &str = "\
    <form id=\"upload\" class=\"bar\" method=\"post\" enctype=\"multipart/form-data\" action=\"./\">\
    <label>Add files <input type=\"file\" name=\"file\" multiple required></label>\
    <button>Upload</button><progress hidden aria-label=\"Upload\"></progress>\
    <output></output></form>\n";

static HASH: LazyLock<String> =
    LazyLock::new(|| format!("sha256-{}", STANDARD.encode(Sha256::digest(SCRIPT.as_bytes()))));

/// What a Content-Security-Policy has to allow for [`SCRIPT`] in `script-src`, without quotes.
pub(in super::super) fn script_hash() -> &'static str {
    &HASH
}
