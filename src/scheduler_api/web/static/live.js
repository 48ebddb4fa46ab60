// Looks again whenever something has changed, and changes only what is different: focus, selection, what is
// typed and how far one has scrolled stay as they are.

const APART = 2000; // milliseconds between two looks at least
const POLLING = 4000; // milliseconds between two looks, where the service cannot tell of changes
const SILENCE = 5000; // milliseconds without a word after which what is shown counts as old
const liveness = document.getElementById("liveness");
const stale = document.getElementById("stale");
const holder = document.getElementById("hold");

// Makes `old` what `fresh` is.
export const morph = (old, fresh) => {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeName !== fresh.nodeName || (old.id ?? "") !== (fresh.id ?? "")) {
    old.replaceWith(document.importNode(fresh, true));
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = fresh.data;
    return;
  }
  // What the reader did to it stays: what is typed, ticked, unfolded; what is suggested; where the keys are.
  if (old.matches("input:not([type=hidden]), select, textarea, datalist")) return;
  const isAt = old.classList.contains("at");
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !(name === "open" && old.matches("details"))) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !(name === "open" && old.matches("details"))) old.setAttribute(name, value);
  }
  if (isAt) old.classList.add("at");
  morphChildren(old, fresh);
};

const morphChildren = (old, fresh) => {
  const named = new Map([...old.children].filter((child) => child.id).map((child) => [child.id, child]));
  let next = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const isNext = next && !next.id && !child.id && next.nodeName === child.nodeName;
    const match = child.id ? named.get(child.id) : isNext ? next : undefined;
    if (!match) {
      old.insertBefore(document.importNode(child, true), next);
      continue;
    }
    // Blanks go out of the way: what is moved loses the focus.
    while (match !== next && next?.nodeType === Node.TEXT_NODE) {
      const blank = next;
      next = next.nextSibling;
      blank.remove();
    }
    if (match === next) next = next.nextSibling;
    else old.insertBefore(match, next);
    morph(match, child);
  }
  while (next) {
    const gone = next;
    next = next.nextSibling;
    gone.remove();
  }
};

const parts = (root) => new Map([...root.querySelectorAll("[data-part]")].map((part) => [part.dataset.part, part]));

// The link that skips to a list goes with the list.
const showWhole = (fresh) => {
  for (const selector of [".skip", "#content"]) morph(document.querySelector(selector), fresh.querySelector(selector));
};

// Shows what a page says: part by part, or as a whole where its parts are others. `said`: whether its notice,
// too; "bad": it is a page of an error, of which only that is told.
export const show = (text, { said } = {}) => {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const before = parts(document);
  const after = parts(fresh);
  const notice = before.get("notice");
  if (said === "bad") {
    notice?.replaceChildren(complaint(fresh));
    return;
  }
  // A look by itself says nothing of what was done: that stays, whatever else of the page is new.
  if (said === undefined && notice) {
    const kept = [...notice.childNodes].map((child) => child.cloneNode(true));
    after.get("notice")?.replaceChildren(...kept);
  }
  if (said !== undefined) freely = Date.now() + FREELY;
  if (said !== undefined && notice && after.has("notice")) morph(notice, after.get("notice"));
  before.delete("notice");
  after.delete("notice");
  for (const [name, part] of after) if ("news" in part.dataset && before.has(name)) keepBack(before.get(name), part);
  const isSame = [...after.keys()].every((name) => before.has(name)) && before.size === after.size;
  if (isSame) for (const [name, part] of after) morph(before.get(name), part);
  else if (document.title === fresh.title) showWhole(fresh);
  document.dispatchEvent(new CustomEvent("shown", { detail: fresh }));
};

// Shows what was searched for, whatever is on the page then; who types goes on.
export const find = (text) => {
  const fresh = new DOMParser().parseFromString(text, "text/html");
  showWhole(fresh);
  document.dispatchEvent(new CustomEvent("shown", { detail: fresh }));
};

// New rows of a list wait until the reader asks for them: nothing moves under the pointer. All others change.
let freely = 0;
const FREELY = 5000;
const keepBack = (old, fresh) => {
  const known = new Set([...old.children].map((row) => row.id));
  // Who has just done something wants to see what came of it.
  if (Date.now() < freely || !known.size) {
    tellNews(old, 0);
    return;
  }
  const rows = new Map([...fresh.children].map((row) => [row.id, row]));
  const news = [...rows.keys()].filter((id) => !known.has(id)).length;
  // What new rows have pushed off the end stays; any other row that is gone has changed, and goes.
  const shown = [...old.children];
  const end = shown.findLastIndex((row) => rows.has(row.id)) + 1;
  const kept = shown.slice(0, end).filter((row) => rows.has(row.id)).map((row) => rows.get(row.id));
  fresh.replaceChildren(...kept, ...shown.slice(end, end + news).map((row) => row.cloneNode(true)));
  tellNews(old, news);
};

const tellNews = (list, count) => {
  // Outside of the parts, which are made what the service says.
  const place = list.closest("section[data-part]") ?? list.closest("table");
  let button = document.getElementById("news");
  if (!count) {
    button?.parentElement.remove();
    return;
  }
  if (!button) {
    button = Object.assign(document.createElement("button"), { id: "news", type: "button", className: "secondary small" });
    button.addEventListener("click", () => {
      freely = Date.now() + FREELY;
      refresh();
    });
    const told = Object.assign(document.createElement("p"), { className: "news" });
    told.setAttribute("role", "status");
    told.append(button);
    place.before(told);
  }
  button.textContent = `${count} new run${count === 1 ? "" : "s"}`;
};

const complaint = (fresh) => {
  const told = document.createElement("p");
  told.className = "notice bad toast";
  told.setAttribute("role", "alert");
  told.textContent = fresh.querySelector("#content")?.innerText.trim().replace(/\s+/g, " ") || "The action failed. Reload the page and try again.";
  return told;
};

let looking = false;
let again = false;
let last = 0;

const clock = () => new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
let loaded = clock();

// Whether the session has ended meanwhile: then the reader signs in, and comes back here.
export const signedOut = (answer) => {
  if (new URL(answer.url).pathname !== "/sign-in") return false;
  location.assign(`/sign-in?back=${encodeURIComponent(location.pathname + location.search)}`);
  return true;
};

// What the reader has chosen in this browser; where it keeps nothing, for as long as the page is shown.
const choices = new Map();
export const chose = (name) => {
  try {
    return (localStorage.getItem(name) ?? choices.get(name)) === "yes";
  } catch {
    return choices.get(name) === "yes";
  }
};
export const choose = (name, isChosen) => {
  choices.set(name, isChosen ? "yes" : "no");
  try {
    localStorage.setItem(name, choices.get(name));
  } catch {
    // It is forgotten with the page.
  }
};

// Whether the reader holds the page as it is.
const HELD = "updates held";
export const isHeld = () => chose(HELD);
let isBehind = false;

// Looks again, not too often, and never twice at once.
export const refresh = async () => {
  if (isHeld()) {
    isBehind = true;
    return;
  }
  again = true;
  if (looking) return;
  looking = true;
  while (again && !document.hidden) {
    again = false;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, last + APART - Date.now())));
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html", "X-Live": "1" } });
      if (signedOut(answer)) return;
      if (answer.ok) {
        show(await answer.text());
        loaded = clock();
        heard();
      }
    } catch {
      // What is shown grows old, and that is told.
    }
  }
  looking = false;
};

const tell = (text) => {
  if (liveness.textContent !== text) liveness.textContent = text;
};

// When the service last said something: what has not changed since is as new as that.
let lastHeard = Date.now();
const heard = () => {
  lastHeard = Date.now();
  stale.hidden = true;
  tell(isHeld() ? "updates paused" : "live");
};
const listen = () => {
  if (document.hidden || Date.now() - lastHeard < SILENCE) return;
  const text = `Not up to date: the service or its database does not answer. Showing data from ${loaded}.`;
  if (stale.textContent !== text) stale.textContent = text;
  stale.hidden = false;
  tell("");
};

const hold = () => {
  holder.textContent = isHeld() ? "Resume updates" : "Pause updates";
  document.documentElement.classList.toggle("held", isHeld());
};

// Follows the changes as long as the page is in sight.
export const follow = () => {
  let source;
  let polling;
  const stop = () => {
    source?.close();
    clearInterval(polling);
    source = polling = undefined;
  };
  const poll = () => (polling ??= setInterval(refresh, POLLING));
  const start = () => {
    if (document.hidden || source) return;
    // What has changed since the page was made is told at once.
    source = new EventSource(`/events?since=${encodeURIComponent(document.body.dataset.mark)}`);
    source.addEventListener("change", () => {
      loaded = clock();
      heard();
      refresh();
    });
    source.addEventListener("beat", () => {
      loaded = clock();
      heard();
    });
    source.addEventListener("open", () => {
      clearInterval(polling);
      polling = undefined;
      heard();
    });
    source.addEventListener("error", () => {
      poll();
      // Refused: the browser does not try again by itself.
      if (source?.readyState === EventSource.CLOSED) setTimeout(() => { stop(); start(); }, POLLING);
    });
  };
  holder.hidden = false;
  hold();
  holder.addEventListener("click", () => {
    choose(HELD, !isHeld());
    hold();
    heard();
    if (!isHeld() && isBehind) refresh();
    isBehind = false;
  });
  setInterval(listen, 500);
  document.addEventListener("visibilitychange", () => {
    stop();
    if (document.hidden) return;
    lastHeard = Date.now();
    refresh();
    start();
  });
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    refresh();
    start();
  });
  start();
};
