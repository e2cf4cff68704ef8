"use strict";
const box=document.querySelector("input[type=search]"),rows=[...document.querySelectorAll("tbody tr[data-n]")],none=document.querySelector(".none"),count=document.querySelector("[role=status]"),first=count.textContent;
const names=rows.map(r=>r.querySelector("bdi").textContent.toLowerCase());
const links=()=>[...document.querySelectorAll("tbody tr:not([hidden]) a")];
function sift(){const want=box.value.toLowerCase();let left=0;rows.forEach((r,i)=>{const on=names[i].includes(want);if(r.hidden===on)r.hidden=!on;left+=on});none.hidden=left>0;count.textContent=want?left.toLocaleString("en")+" of "+rows.length.toLocaleString("en")+" shown":first}
let wait;
box.addEventListener("input",()=>{clearTimeout(wait);wait=setTimeout(sift,rows.length>5000?150:0)});
if(matchMedia("(hover:hover)").matches)box.placeholder="Filter (press /)";
box.form.addEventListener("submit",e=>{e.preventDefault();clearTimeout(wait);sift();const found=rows.find(r=>!r.hidden&&r.querySelector("a"));if(found)found.querySelector("a").focus()});
document.addEventListener("keydown",e=>{if(e.ctrlKey||e.altKey||e.metaKey)return;const typing=e.target===box;
if(e.target.closest("input,textarea,select")&&!typing)return;
if(e.key==="/"&&!typing){e.preventDefault();box.focus();box.select();return}
if(e.key==="Escape"&&typing){box.value="";sift();box.blur();return}
const step={ArrowDown:1,ArrowUp:-1,j:1,k:-1,Home:-1e9,End:1e9}[e.key];
if(!step||typing&&step!==1||typing&&e.key!=="ArrowDown")return;
const all=links(),at=all.indexOf(document.activeElement),to=Math.min(all.length-1,Math.max(0,at<0?(e.key==="End"?all.length-1:0):at+step));
if(all[to]){e.preventDefault();all[to].focus()}});
const times=[...document.querySelectorAll("time")],two=n=>String(n).padStart(2,"0");
(function local(){for(const t of times.splice(0,1000)){const d=new Date(t.dateTime);t.title=t.dateTime;t.textContent="";const s=document.createElement("span");s.textContent=" "+two(d.getHours())+":"+two(d.getMinutes());t.append(d.getFullYear()+"-"+two(d.getMonth()+1)+"-"+two(d.getDate()),s)}
if(times.length)setTimeout(local,0);else document.querySelectorAll(".utc").forEach(u=>u.hidden=true)})();
if(box.value)sift();
