// What pages do beyond HTML. All of them can be read and used without it.
"use strict";

// The reader's own time beside UTC.
const own = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const ownTime = new Intl.DateTimeFormat(undefined, { timeStyle: "medium", hourCycle: "h23" });
const ownDay = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short" });
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function addOwnTimes(root) {
  for (const each of root.querySelectorAll("time:not([data-own])")) {
    const moment = new Date(each.dateTime);
    if (isNaN(moment) || moment.getUTCFullYear() > 9000) continue;
    each.dataset.own = "";
    const here = `${own.format(moment)} (${zone})`;
    if (each.classList.contains("full")) {
      if (zone === "UTC") continue;
      const day = ownDay.format(moment);
      each.append(` · ${day === moment.toISOString().slice(0, 10) ? "" : `${day} `}${ownTime.format(moment)} here`);
      each.title = here;
    } else if (zone !== "UTC") each.title += ` · ${here}`;
  }
}

// Live: the page is looked at again while it is visible, and nothing in it is being used.
let paused = false;

function isInUse(live) {
  const dialog = document.getElementById("dialog");
  const selection = document.getSelection();
  return (
    dialog.open ||
    (selection && !selection.isCollapsed) ||
    live.querySelector("details[open][data-closed]") !== null ||
    (live.contains(document.activeElement) && document.activeElement.matches("input, select, textarea"))
  );
}

// A page that is no longer ours, such as a login, is not put into this one: it is shown instead of it.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { target, xhr } = event.detail;
  if (target?.id !== "live" || xhr.status >= 500 || xhr.responseText.includes('id="live"')) return;
  event.detail.shouldSwap = false;
  location.reload();
});

async function lookAgain() {
  const live = document.getElementById("live");
  if (!live || paused || document.hidden || isInUse(live)) return;
  const active = live.contains(document.activeElement) ? document.activeElement : null;
  const focused = active?.getAttribute("href");
  await htmx.ajax("GET", location.pathname + location.search, {
    source: live, target: "#live", select: "#live", swap: "outerHTML",
  });
  showToggle();
  if (active?.id) document.getElementById(active.id)?.focus();
  else if (focused) document.getElementById("live")?.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
}

function startLive() {
  const live = document.getElementById("live");
  const seconds = Number(live?.dataset.every || 0);
  if (!seconds) return;
  showToggle();
  setInterval(lookAgain, seconds * 1000);
  document.addEventListener("visibilitychange", lookAgain);
  document.addEventListener("click", (event) => {
    if (event.target.id !== "live-toggle") return;
    paused = !paused;
    showToggle();
    lookAgain();
  });
}

function showToggle() {
  const toggle = document.getElementById("live-toggle");
  if (!toggle) return;
  toggle.hidden = false;
  toggle.setAttribute("aria-pressed", String(!paused));
  toggle.textContent = paused ? "Live: off" : "Live: on";
}

// Actions are previewed in a dialog; without this script, on a page of their own.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-dialog]");
  if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey && event.button === 0) {
    event.preventDefault();
    const dialog = document.getElementById("dialog");
    document.getElementById("dialog-content").replaceChildren();  // never the form of the action before
    await htmx.ajax("GET", link.href, { source: dialog, target: "#dialog-content", select: ".preview", swap: "innerHTML" });
    if (!dialog.querySelector(".preview")) {  // it was refused: its own page says why
      location.href = link.href;
      return;
    }
    if (!dialog.open) dialog.showModal();
    dialog.querySelector("input:not([type=hidden]), textarea, button")?.focus();
  }
  if (event.target.closest("[data-close]") && document.getElementById("dialog").open) {
    event.preventDefault();
    document.getElementById("dialog").close();
  }
});

// Keys: g and a letter go to a page, / to the filter, ? shows them.
const PLACES = { o: "/", q: "/queues", j: "/jobs", d: "/dead", w: "/workflows", s: "/schedules", l: "/limits", x: "/doctor", a: "/audit" };
let wentTo = 0;

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea")) return;
  if (Date.now() - wentTo < 1200 && PLACES[event.key]) {
    location.href = document.body.dataset.base + PLACES[event.key];
    return;
  }
  wentTo = event.key === "g" ? Date.now() : 0;
  if (event.key === "/") {
    const filter = document.querySelector("form.filters input[type=text]");
    if (filter) {
      event.preventDefault();
      filter.focus();
    }
  }
  if (event.key === "?") {
    const dialog = document.getElementById("dialog");
    document.getElementById("dialog-content").replaceChildren(document.getElementById("keys").content.cloneNode(true));
    dialog.showModal();
  }
});

document.addEventListener("htmx:afterSettle", () => addOwnTimes(document));
addOwnTimes(document);
startLive();
