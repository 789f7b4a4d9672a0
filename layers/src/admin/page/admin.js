// The admin page. Whatever the server sends is shown as text, never as HTML.
"use strict";

const POLL = 2000; // between two polls, in milliseconds
const SLOW_POLL = 10000; // of what rarely changes
const LONGEST_RETRY = 15000;
const WINDOW = 5 * 60 * 1000; // of the plots
const GAP = 3 * POLL; // a longer time between two samples leaves a gap in the line

const $ = (id) => document.getElementById(id);
const state = {
  samples: [],
  last: null,
  after: "", // where this page of connections begins
  next: "",
  failures: 0,
  slowAt: 0,
  timer: 0,
  isBusy: false,
};

// Requests ---------------------------------------------------------------------------------------

class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, method = "GET", body) {
  const headers = {};
  const token = sessionStorage.getItem("reagent-admin-token");
  if (token) headers.authorization = `Bearer ${token}`;
  if (method !== "GET") headers["x-reagent-admin"] = "1";
  if (body !== undefined) headers["content-type"] = "application/json";
  const response = await fetch(path, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(10000),
  });
  const value = await response.json().catch(() => ({}));
  if (!response.ok && !(path === "ready" && value.status)) {
    throw new Refused(response.status, value.error || `status ${response.status}`);
  }
  return { value, response };
}

const get = async (path) => (await request(path)).value;

// Sends a write and shows its result.
async function write(path, method, body, done) {
  try {
    await request(path, method, body);
    say(done);
  } catch (error) {
    if (error.status === 401) askToken();
    say(`Not done: ${error.message}`);
    return false;
  } finally {
    state.slowAt = 0;
    poll();
  }
  return true;
}

// Formats ----------------------------------------------------------------------------------------

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

function bytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let unit = 0;
  while (n >= 999.5 && unit < units.length - 1) {
    n /= 1000;
    unit += 1;
  }
  return `${short.format(n)} ${units[unit]}`;
}

function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const s = Math.max(0, Math.floor(seconds));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)}m ${String(s % 60).padStart(2, "0")}s`;
  if (s < 86400) return `${Math.floor(s / 3600)}h ${String(Math.floor(s / 60) % 60).padStart(2, "0")}m`;
  return `${Math.floor(s / 86400)}d ${Math.floor(s / 3600) % 24}h`;
}

// Elements ---------------------------------------------------------------------------------------

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick" || name === "onsubmit") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function text(node, value) {
  if (node.textContent !== value) node.textContent = value;
}

// Updates the children of `parent` in place, so that the focus and the pointer keep their element.
function update(parent, items, keyOf, make, fill, empty) {
  const known = new Map();
  for (const child of parent.children) known.set(child.dataset.key, child);
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = known.get(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    known.delete(key);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    fill(child, item);
  }
  if (!items.length) {
    const child = known.get("") || empty();
    child.dataset.key = "";
    known.delete("");
    parent.append(child);
  }
  for (const child of known.values()) {
    const hasFocus = child.contains(document.activeElement);
    child.remove();
    if (hasFocus) parent.closest("section").querySelector("h2").focus();
  }
}

let saying;
function say(words) {
  text($("message"), words);
  clearTimeout(saying);
  saying = setTimeout(() => text($("message"), ""), 5000);
}

// Counters and plots -----------------------------------------------------------------------------

const ENDS = ["completed", "failed", "disconnected", "rejected", "timed_out", "drained", "aborted", "panicked"];

function showStats(stats) {
  const status = $("status");
  text(status, stats.status.replace("_", " "));
  document.title = `${stats.status.replace("_", " ")} – ${location.host}`;
  const looks = { running: "good", paused: "warn", stopped: "bad" };
  status.className = `pill ${looks[stats.status] || "warn"}`;
  const room = stats.max_connections === null ? "" : ` / ${whole.format(stats.max_connections)}`;
  const facts = [
    ["Open", whole.format(stats.open) + room],
    ["Acceptors", whole.format(stats.acceptors)],
    ["Accepted", whole.format(stats.accepted)],
  ];
  for (const end of ENDS) {
    facts.push([end[0].toUpperCase() + end.slice(1).replace("_", " "), whole.format(stats[end])]);
  }
  facts.push(["Turned away", whole.format(stats.turned_away)]);
  facts.push(["Received", bytes(stats.bytes_read)], ["Sent", bytes(stats.bytes_written)]);
  const make = ([name]) => element("div", {}, element("dt", {}, name), element("dd"));
  const fill = (fact, [, value]) => text(fact.lastChild, value);
  update($("facts"), facts, ([name]) => name, make, fill);
  const now = Date.now();
  const ended = ENDS.reduce((sum, end) => sum + stats[end], 0);
  const sample = { at: now, open: stats.open };
  const last = state.last;
  if (last && now - last.at < GAP) {
    // A connection that ends while bytes are counted may be missing from the sum.
    const rate = (value, before) => Math.max(0, value - before) / ((now - last.at) / 1000);
    sample.accepted = rate(stats.accepted, last.accepted);
    sample.ended = rate(ended, last.ended);
    sample.received = rate(stats.bytes_read, last.read);
    sample.sent = rate(stats.bytes_written, last.written);
  }
  state.last = { at: now, accepted: stats.accepted, ended, read: stats.bytes_read, written: stats.bytes_written };
  state.samples.push(sample);
  state.samples = state.samples.filter((sample) => now - sample.at <= WINDOW);
  plot("plot-open", "Open connections", [["open", "open", whole.format]]);
  plot("plot-rate", "Connections per second", [
    ["accepted", "accepted", short.format],
    ["ended", "ended", short.format],
  ]);
  plot("plot-bytes", "Bytes per second", [
    ["received", "received", bytes],
    ["sent", "sent", bytes],
  ]);
}

const SVG = "http://www.w3.org/2000/svg";
const LINES = ["one", "two"];

function makePlot(figure, title, series) {
  const caption = figure.querySelector("figcaption");
  caption.append(element("h2", {}, title));
  series.forEach(([, name], i) => {
    caption.append(element("span", { class: `key ${LINES[i]}` }, `${name} `, element("b", {}, "–")));
  });
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 300 100");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  for (const y of [0.5, 50, 99.5]) {
    const line = document.createElementNS(SVG, "line");
    for (const [name, value] of [["x1", 0], ["x2", 300], ["y1", y], ["y2", y], ["class", "grid"]]) {
      line.setAttribute(name, value);
    }
    svg.append(line);
  }
  series.forEach((_, i) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", LINES[i]);
    svg.append(path);
  });
  const top = element("span", {}, "");
  figure.append(
    element("div", { class: "axis" }, top),
    svg,
    element("div", { class: "axis" }, element("span", {}, "5 min ago"), element("span", {}, "now")),
  );
  return { svg, top, paths: svg.querySelectorAll("path"), values: caption.querySelectorAll("b") };
}

const plots = {};
function plot(id, title, series) {
  const parts = (plots[id] ??= makePlot($(id), title, series));
  const now = Date.now();
  const values = (key) => state.samples.map((sample) => sample[key]).filter((value) => value !== undefined);
  const top = nice(Math.max(0, ...series.flatMap(([key]) => values(key))), id === "plot-bytes");
  const format = series[0][2];
  text(parts.top, format(top));
  const said = series.map(([key, name, format], i) => {
    let line = "";
    let before = null;
    for (const sample of state.samples) {
      if (sample[key] === undefined) continue;
      const x = 300 * (1 - (now - sample.at) / WINDOW);
      const y = 99.5 - (99 * sample[key]) / top;
      const isJoined = before !== null && sample.at - before < GAP;
      line += `${isJoined ? "L" : "M"}${x.toFixed(2)} ${y.toFixed(2)}`;
      before = sample.at;
    }
    parts.paths[i].setAttribute("d", line);
    const current = state.samples.at(-1)?.[key];
    const value = current === undefined ? "–" : format(current);
    text(parts.values[i], value);
    return `${value} ${name}`;
  });
  parts.svg.setAttribute("aria-label", `${title}: ${said.join(", ")}`);
}

// Rounds up to 1, 2 or 5 times a power of ten, for the top of an axis.
function nice(value, isLarge) {
  const least = isLarge ? 1000 : 5;
  if (value <= least) return least;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= value);
}

// Connections ------------------------------------------------------------------------------------

function makeRow(connection) {
  const row = element("tr");
  const cell = (name, ...children) => {
    const made = element("td", { class: name }, ...children);
    row.append(made);
    return made;
  };
  const ip = address(connection.client);
  const client = element("button", { type: "button", class: "plain", title: `Show only ${ip}` }, connection.client);
  client.onclick = () => {
    $("client").value = ip;
    filter();
  };
  if (ip === "") client.disabled = true;
  row.parts = {
    id: cell("wide number", String(connection.id)),
    client: cell("client", client),
    listener: cell("wide listener"),
    age: cell("number"),
    idle: cell("number"),
    received: cell("wide number"),
    sent: cell("wide number"),
    rate: cell("wide number"),
    phase: cell("wide phase"),
    labels: cell("wide labels"),
    proxy: element("small"),
    traffic: element("small", { class: "narrow" }),
  };
  row.parts.client.append(row.parts.proxy, row.parts.traffic);
  const name = `connection ${connection.id} of ${connection.client}`;
  const act = (verb, done) => async () => {
    row.classList.add("ending");
    const ok = await write(`connections/${connection.id}/${verb}`, "POST", undefined, `${done} ${name}.`);
    if (!ok || verb === "drain") row.classList.remove("ending");
  };
  cell(
    "actions",
    element("button", {
      type: "button", class: "gentle", "aria-label": `Drain ${name}`, onclick: act("drain", "Asked to finish:"),
      title: "Ask the connection to finish",
    }, "Drain"),
    element("button", {
      type: "button", class: "danger", "data-kill": "", "aria-label": `Kill ${name}`, onclick: act("abort", "Killed"),
      title: "End the connection now",
    }, "Kill"),
  );
  return row;
}

// Returns the IP address of `ADDRESS:PORT`, and an empty text for another kind of address.
function address(client) {
  const match = /^(?:\[([0-9a-f:.%]+)\]|([0-9.]+)):\d+$/i.exec(client);
  return match ? (match[1] || match[2]) : "";
}

function fillRow(row, connection) {
  const parts = row.parts;
  text(parts.listener, connection.listener_label || connection.listener);
  parts.listener.title = connection.listener;
  text(parts.age, time(connection.age));
  text(parts.idle, time(connection.idle));
  text(parts.received, bytes(connection.bytes_read));
  text(parts.sent, bytes(connection.bytes_written));
  const { rate_read: read, rate_written: written } = connection;
  text(parts.rate, read === null ? "–" : `${bytes(read + written)}/s`);
  parts.rate.title = read === null ? "" : `↓ ${bytes(read)}/s ↑ ${bytes(written)}/s`;
  const phase = connection.draining ? "draining" : connection.phase;
  text(parts.phase, phase);
  const labels = Object.entries(connection.labels).map(([key, value]) => `${key}=${value}`);
  if (connection.secure) labels.unshift("encrypted");
  text(parts.labels, labels.join(" "));
  parts.labels.title = labels.join("\n");
  text(parts.proxy, connection.proxy ? `by ${connection.proxy}` : "");
  const traffic = `↓ ${bytes(connection.bytes_read)} ↑ ${bytes(connection.bytes_written)}`;
  text(parts.traffic, phase === "handling" ? traffic : `${traffic} ${phase}`);
}

async function showConnections() {
  const query = state.after || new URLSearchParams({ sort: $("sort").value }).toString();
  const client = $("client").value.trim();
  const filtered = !state.after && client ? `${query}&client=${encodeURIComponent(client)}` : query;
  let answer;
  try {
    answer = await request(`connections?${filtered}`);
    text($("filter-error"), "");
  } catch (error) {
    if (error.status !== 400) throw error;
    text($("filter-error"), error.message);
    return;
  }
  const { value: connections, response } = answer;
  state.next = /<\?([^>]*)>/.exec(response.headers.get("link") || "")?.[1] || "";
  const total = Number(response.headers.get("x-total-count"));
  const nothing = () => {
    return element("tr", { class: "nothing" }, element("td", { colspan: "11" }, "No connections"));
  };
  update($("connections"), connections, (connection) => connection.id, makeRow, fillRow, nothing);
  text($("count"), `${whole.format(connections.length)} of ${whole.format(total)} shown`);
  $("next").disabled = !state.next;
  $("first").disabled = !state.after;
}

function filter() {
  state.after = "";
  poll();
}

// The rest ---------------------------------------------------------------------------------------

function makeLimit(limit) {
  const item = element("li");
  const input = element("input", {
    type: "number", min: "0", step: "1", inputmode: "numeric", placeholder: "no limit",
    "aria-label": `Maximum of ${limit.name}, in ${limit.unit}`,
  });
  const form = element("form", {}, input, element("button", {}, "Set"));
  form.onsubmit = async (event) => {
    event.preventDefault();
    const max = input.value.trim() === "" ? null : Number(input.value);
    input.blur();
    const said = max === null ? "no limit" : whole.format(max);
    await write(`limits/${encodeURIComponent(limit.name)}`, "POST", { max }, `${limit.name} is now ${said}.`);
    item.shown = undefined;
  };
  item.input = input;
  item.note = element("small");
  item.append(element("span", { class: "name" }, limit.name, item.note), form);
  return item;
}

function fillLimit(item, limit) {
  const used = limit.used === undefined ? "" : `${whole.format(limit.used)} in use, `;
  text(item.note, `${used}${limit.unit}`);
  const value = limit.max === null ? "" : String(limit.max);
  // What the user is typing stays.
  const isTouched = document.activeElement === item.input || (item.shown !== undefined && item.input.value !== item.shown);
  if (!isTouched) {
    item.input.value = value;
    item.shown = value;
  }
}

function makeListener(listener) {
  const item = element("li");
  item.note = element("small");
  item.append(element("span", { class: "name" }, listener.label || listener.addr, item.note));
  const path = `listeners/${encodeURIComponent(listener.addr)}`;
  item.toggle = element("button", { type: "button" });
  item.toggle.onclick = () => {
    const verb = item.isPaused ? "resume" : "pause";
    write(`${path}/${verb}`, "POST", undefined, `${listener.addr}: ${verb}d.`);
  };
  const close = element("button", { type: "button", class: "danger", "aria-label": `Close ${listener.addr}` }, "Close…");
  close.onclick = () => ask({
    title: `Close ${listener.addr}?`,
    words: "New clients are refused there until it is opened again. Open connections stay.",
    verb: "Close",
    act: () => write(`${path}/close`, "POST", undefined, `${listener.addr}: closed.`),
  });
  item.close = close;
  item.append(item.toggle, close);
  return item;
}

function fillListener(item, listener) {
  const canPause = listener.paused !== undefined;
  item.toggle.hidden = item.close.hidden = !canPause;
  item.isPaused = listener.paused;
  text(item.toggle, listener.paused ? "Resume" : "Pause");
  item.toggle.setAttribute("aria-label", `${listener.paused ? "Resume" : "Pause"} ${listener.addr}`);
  const facts = [];
  if (listener.label) facts.push(listener.addr);
  if (listener.lost) facts.push(`lost: ${listener.lost}`);
  else facts.push(listener.paused ? "paused" : "listening");
  if (listener.open !== undefined) facts.push(`${whole.format(listener.open)} open`);
  if (listener.accepted !== undefined) facts.push(`${whole.format(listener.accepted)} accepted`);
  text(item.note, facts.join(" · "));
  item.note.className = listener.lost ? "bad" : listener.paused ? "warn" : "";
}

function makeCertificate(certificate) {
  const item = element("li");
  item.note = element("small");
  item.append(element("span", { class: "name" }, certificate.name ?? "default", item.note));
  return item;
}

function fillCertificate(item, certificate) {
  const days = certificate.expires_in === null ? null : Math.floor(certificate.expires_in / 86400);
  if (days === null) {
    text(item.note, "expiry unknown");
    return;
  }
  const date = new Date(certificate.not_after * 1000).toISOString().slice(0, 16).replace("T", " ");
  const left = certificate.expires_in < 0 ? "expired" : days === 1 ? "expires in 1 day" : `expires in ${days} days`;
  text(item.note, `${left} (${date} UTC)`);
  item.note.className = certificate.expires_in < 3 * 86400 ? "bad" : days < 14 ? "warn" : "";
}

function makeUpstream(upstream) {
  const item = element("li");
  item.note = element("small");
  const path = `upstreams/${encodeURIComponent(upstream.set)}/${encodeURIComponent(upstream.name)}`;
  item.toggle = element("button", { type: "button" });
  item.toggle.onclick = () => {
    const [verb, done] = item.isDrained ? ["resume", "resumed"] : ["drain", "drained"];
    write(`${path}/${verb}`, "POST", undefined, `${upstream.name}: ${done}.`);
  };
  item.append(element("span", { class: "name" }, `${upstream.set}: ${upstream.name}`, item.note), item.toggle);
  return item;
}

function fillUpstream(item, upstream) {
  const { state, since, open, total, failures, last_error } = upstream;
  const counts = `${whole.format(open)} open, ${whole.format(total)} in all, ${whole.format(failures)} failed`;
  const error = upstream.available || last_error === null ? "" : `; ${last_error}`;
  text(item.note, `${state.replace("_", " ")} for ${time(since)}; ${counts}${error}`);
  item.isDrained = state === "drained";
  item.toggle.hidden = !upstream.changeable;
  text(item.toggle, item.isDrained ? "Resume" : "Drain");
  item.toggle.setAttribute("aria-label", `${item.isDrained ? "Resume" : "Drain"} ${upstream.name}`);
  item.note.className = upstream.available ? "" : state === "ejected" || state === "down" ? "bad" : "warn";
}

function makeBan(ban) {
  const item = element("li");
  item.note = element("small");
  const lift = element("button", { type: "button", "aria-label": `Lift the ban of ${ban.client}` }, "Lift");
  lift.onclick = () => write(`bans/${encodeURIComponent(ban.client)}`, "DELETE", undefined, `${ban.client} is no longer banned.`);
  item.append(element("span", { class: "name" }, ban.client, item.note), lift);
  return item;
}

const none = (words) => () => element("li", { class: "empty" }, words);

async function showRest() {
  const [limits, listeners, certificates] = await Promise.all([get("limits"), get("listeners"), get("certificates")]);
  update($("limits"), limits, (limit) => limit.name, makeLimit, fillLimit, none("No limits"));
  update($("listeners"), listeners, (listener) => listener.addr, makeListener, fillListener, none("No listeners"));
  update($("certificates"), certificates, (one) => one.name ?? " ", makeCertificate, fillCertificate, none("No certificates"));
  await section("bans-section", async () => {
    const bans = await get("bans");
    const fill = (item, ban) => text(item.note, `${time(ban.ends_in)} left`);
    update($("bans"), bans, (ban) => ban.client, makeBan, fill, none("No bans"));
  });
  await section("upstreams-section", async () => {
    const upstreams = await get("upstreams");
    // Shows no section.
    if (upstreams.length === 0) throw { status: 404 };
    const key = (upstream) => `${upstream.set} ${upstream.name}`;
    update($("upstreams"), upstreams, key, makeUpstream, fillUpstream, none("No upstreams"));
  });
  await section("top-section", showTop);
}

// Shows a section, or hides it if the server has nothing to show in it.
async function section(id, show) {
  try {
    await show();
    $(id).hidden = false;
  } catch (error) {
    if (error.status !== 404) throw error;
    $(id).hidden = true;
  }
}

async function showTop() {
  const by = $("top-by").value;
  const top = await get(`top?by=${by}`);
  const format = by === "bytes" ? bytes : (n) => whole.format(n);
  const make = ({ client }) => {
    const row = element("tr");
    row.sum = element("td", { class: "sum" });
    row.append(element("td", {}, client), row.sum);
    return row;
  };
  const fill = (row, { count, error }) => {
    text(row.sum, error ? `${format(count - error)} to ${format(count)}` : format(count));
  };
  const nothing = () => element("tr", { class: "nothing" }, element("td", { colspan: "2" }, "No clients"));
  update($("top"), top, (one) => one.client, make, fill, nothing);
}

// Polling ----------------------------------------------------------------------------------------

async function poll() {
  if (state.isBusy) {
    state.again = true;
    return;
  }
  clearTimeout(state.timer);
  if (document.hidden || $("token-dialog").open) return;
  state.isBusy = true;
  try {
    showStats(await get("stats"));
    await showConnections();
    if (Date.now() >= state.slowAt) {
      state.slowAt = Date.now() + SLOW_POLL;
      await showRest();
    }
    state.failures = 0;
    link("");
  } catch (error) {
    if (error.status === 401) return askToken();
    state.failures += 1;
    link(error.status ? error.message : "Connection lost, retrying");
  } finally {
    state.isBusy = false;
    const wait = state.again ? 0 : Math.min(POLL * Math.max(1, state.failures), LONGEST_RETRY);
    state.again = false;
    state.timer = setTimeout(poll, wait);
  }
}

function link(trouble) {
  document.body.classList.toggle("stale", Boolean(trouble));
  $("link").classList.toggle("lost", Boolean(trouble));
  text($("link"), trouble || "live");
}

// Dialogs ----------------------------------------------------------------------------------------

function askToken() {
  const dialog = $("token-dialog");
  if (dialog.open) return;
  const isWrong = sessionStorage.getItem("reagent-admin-token") !== null;
  sessionStorage.removeItem("reagent-admin-token");
  text($("token-error"), isWrong ? "That is not the token." : "");
  $("token").value = "";
  dialog.showModal();
}

function ask({ title, words, verb, hasInput, act }) {
  text($("ask-title"), title);
  text($("ask-text"), words);
  text($("ask-ok"), verb);
  $("ask-label").hidden = $("ask-input").disabled = !hasInput;
  const dialog = $("ask-dialog");
  dialog.returnValue = "cancel";
  dialog.onclose = () => {
    if (dialog.returnValue === "ok") act(Number($("ask-input").value));
  };
  dialog.showModal();
}

$("token-form").onsubmit = (event) => {
  event.preventDefault();
  sessionStorage.setItem("reagent-admin-token", $("token").value);
  $("token-dialog").close();
  poll();
};
$("ask-cancel").onclick = () => $("ask-dialog").close();
$("token-dialog").oncancel = (event) => event.preventDefault();
$("drain").onclick = () => ask({
  title: "Drain the server?",
  words: "New clients are refused. Connections that are still open at the deadline are ended. This cannot be undone.",
  verb: "Drain",
  hasInput: true,
  act: (deadline) => write("drain", "POST", { deadline }, "The server drains."),
});
$("ban").onsubmit = async (event) => {
  event.preventDefault();
  const { client, seconds } = event.target.elements;
  const ban = { client: client.value.trim(), seconds: Number(seconds.value) };
  if (await write("bans", "POST", ban, `${ban.client} is banned.`)) client.value = "";
};
let typing;
$("client").oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(filter, 300);
};
$("filter").onsubmit = (event) => {
  event.preventDefault();
  filter();
};
$("sort").onchange = filter;
$("top-by").onchange = () => {
  state.slowAt = 0;
  poll();
};
$("first").onclick = filter;
$("next").onclick = () => {
  state.after = state.next;
  poll();
};
document.onvisibilitychange = poll;
addEventListener("online", poll);
poll();
