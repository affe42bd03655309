// The console's own script. Every page works without it: it refreshes, copies, and shows times in the reader's zone.
"use strict";

const REFRESH_MS = 5000;

function showTimes(part) {
  const format = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "long" });
  for (const time of part.querySelectorAll("time[datetime]")) {
    time.title = format.format(new Date(time.dateTime));
  }
}

function offerCopies(part) {
  for (const button of part.querySelectorAll("button.copy")) {
    button.hidden = !navigator.clipboard;
    button.onclick = async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("pre").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    };
  }
}

function prepare(part) {
  showTimes(part);
  offerCopies(part);
  // The next step of a redelivery follows by itself.
  const next = document.getElementById("continue");
  if (next && document.querySelector("#progress[data-continue]")) setTimeout(() => htmx.trigger(next, "continue"), 300);
}

// A page is not refreshed while its tab is hidden, or while somebody uses or selects something in it.
function refresh() {
  const main = document.querySelector("main[data-live]");
  const used = main && main !== document.activeElement && main.contains(document.activeElement);
  const selected = main && !document.getSelection().isCollapsed;
  if (main && !document.hidden && !used && !selected) htmx.trigger(main, "refresh");
}

document.addEventListener("DOMContentLoaded", () => {
  prepare(document);
  setInterval(refresh, REFRESH_MS);
});
document.addEventListener("htmx:afterSettle", () => prepare(document));
// An expired session answers with the sign-in page, which has no #main to select of this page: open it whole.
document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.detail.xhr.responseURL.endsWith("/console/sign-in")) {
    event.detail.shouldSwap = false;
    location.assign("/console/sign-in");
  }
});
document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    const search = document.getElementById("search");
    if (search) { event.preventDefault(); search.focus(); }
  }
  if (event.key === "Escape" && typing) event.target.blur();
});
