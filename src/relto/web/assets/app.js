// A comfort: each page is whole without it.
"use strict";
(() => {
  const doc = document, root = doc.documentElement, body = doc.body;
  root.classList.add("js");
  const find = (selector, within = doc) => within.querySelector(selector);
  const all = (selector, within = doc) => [...within.querySelectorAll(selector)];
  const kept = (name, value) => { // a private window may refuse
    try { return value === undefined ? localStorage.getItem(name) : localStorage.setItem(name, value); } catch { return null; }
  };
  const two = (number) => String(Math.floor(number)).padStart(2, "0");

  // Clock: the node's own time, carried on; local time beside it on demand.
  let nodeNow = Number(body.dataset.now), since = performance.now(), local = kept("relto-local") === "1";
  const utc = (ms) => new Date(ms).toISOString().slice(11, 19);
  const beside = (ms) => {
    const east = -new Date(ms).getTimezoneOffset(), far = Math.abs(east);
    return `UTC · ${utc(ms + east * 60000)} ${east < 0 ? "−" : "+"}${two(far / 60)}:${two(far % 60)}`;
  };
  const tick = () => {
    const now = nodeNow + performance.now() - since;
    find("#clock").textContent = utc(now);
    find("#zone").textContent = local ? beside(now) : "UTC";
  };
  tick();
  setInterval(tick, 1000);

  // Parts are replaced in place, so that scroll and focus stay.
  let latest = 0;
  const parts = (page) => all("[data-part]", page).map((part) => part.dataset.part).join();
  const replace = (page) => {
    const focus = doc.activeElement && doc.activeElement.closest("[data-key]");
    const key = focus && focus.dataset.key;
    if (parts(page) !== "" && parts(page) === parts(doc)) {
      for (const fresh of all("[data-part]", page)) {
        const old = find(`[data-part="${fresh.dataset.part}"]`);
        if (old.innerHTML !== fresh.innerHTML) old.replaceChildren(...fresh.childNodes);
      }
    } else find("#main").replaceChildren(...find("#main", page).childNodes);
    for (const name of ["class", "data-refresh", "data-now"]) {
      const value = page.body.getAttribute(name);
      if (value === null) body.removeAttribute(name); else body.setAttribute(name, value);
    }
    doc.title = page.title;
    nodeNow = Number(body.dataset.now); since = performance.now();
    settle();
    if (key) { const again = all("[data-key]").find((one) => one.dataset.key === key); if (again) again.focus({ preventScroll: true }); }
    dress();
  };
  const go = async (address, push) => {
    const turn = ++latest;
    try {
      const answer = await fetch(address, { headers: { accept: "text/html" }, credentials: "same-origin" });
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      if (turn !== latest) return;
      if (!answer.ok || answer.redirected || !find("#main", page)) { if (push) location.assign(address); return lost(); }
      if (push) history.pushState(null, "", address);
      replace(page);
      if (push) reveal();
    } catch { if (turn === latest) { lost(); settle(); } }
  };
  const lost = () => {
    const live = find("#live");
    if (!live) return;
    live.textContent = body.dataset.lost.replace("{time}", utc(nodeNow));
    body.classList.add("is-lost");
  };
  addEventListener("popstate", () => go(location.href, false));
  doc.addEventListener("click", (event) => {
    const link = event.target.closest("a[href]");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const address = link.getAttribute("href");
    if (link.hasAttribute("data-theme-link")) {
      event.preventDefault();
      const theme = root.dataset.theme === "night" ? "day" : "night";
      root.dataset.theme = theme;
      doc.cookie = `relto-theme=${theme}; path=/; max-age=31536000; samesite=strict`;
    } else if (!address.startsWith("#") && link.closest("#main") && new URL(link.href).pathname === location.pathname) {
      event.preventDefault();
      go(address, true);
    }
  });

  const typing = (element) => element.matches("input:not([type=checkbox]), textarea, select");

  // Watch: fetch again unless somebody types, reads the keys or drags.
  setInterval(() => {
    const every = Number(body.dataset.refresh);
    if (!every || doc.hidden || performance.now() - since < every * 1000 || held || find("dialog[open]")) return;
    if (!typing(doc.activeElement)) go(location.href, false);
  }, 1000);

  // Map: drag to move, wheel to zoom about the pointer.
  let held = null, wheel = 0, factor = 1, timer = 0;
  const toLat = (ordinate) => Math.atan(Math.sinh(ordinate * Math.PI / 180)) * 180 / Math.PI;
  const show = (lon, ordinate, side) => {
    const url = new URL(location.href), half = Math.min(180, Math.max(0.01, side / 2)), high = Math.max(-125, Math.min(125, ordinate));
    const west = ((lon - half + 180) % 360 + 360) % 360 - 180;
    url.searchParams.set("area", [west, toLat(Math.max(-139, high - half)), west + half * 2, toLat(Math.min(139, high + half))].map((n) => Number(n.toFixed(5))).join());
    url.hash = "";
    go(url.pathname + url.search.replace(/%2C/g, ","), true);
  };
  const settle = () => { const chart = find(".chart"); if (chart) chart.style.transform = ""; };
  const port = (pane) => ({ lon: Number(pane.dataset.lon), ordinate: Number(pane.dataset.ordinate), side: Number(pane.dataset.side),
                           unit: Number(pane.dataset.side) / parseFloat(getComputedStyle(find(".chart", pane)).width) });
  doc.addEventListener("pointerdown", (event) => {
    const pane = event.target.closest(".pane");
    if (pane && event.button === 0 && event.pointerType !== "touch" && !event.target.closest(".steer, .legend, .measure")) held = { pane, x: event.clientX, y: event.clientY, far: false };
  });
  const degrees = (angle, digits, signs) => {
    const tenths = Math.round(Math.abs(angle) * 600);
    return `${String(Math.floor(tenths / 600)).padStart(digits, "0")}°${(tenths % 600 / 10).toFixed(1).padStart(4, "0")}′${signs[angle < 0 ? 1 : 0]}`;
  };
  doc.addEventListener("pointermove", (event) => {
    const over = event.target.closest(".pane"), place = over && find("[data-place]", over);
    if (place) {
      const { lon, ordinate, unit } = port(over), middle = over.getBoundingClientRect();
      const east = lon + (event.clientX - middle.left - middle.width / 2) * unit, north = toLat(ordinate - (event.clientY - middle.top - middle.height / 2) * unit);
      place.textContent = `${degrees(north, 2, "NS")} ${degrees(((east + 180) % 360 + 360) % 360 - 180, 3, "EW")}`;
    }
    if (!held) return;
    const right = event.clientX - held.x, down = event.clientY - held.y;
    held.far = held.far || Math.hypot(right, down) > 5;
    if (held.far) find(".chart", held.pane).style.transform = `translate(${right}px, ${down}px)`;
  });
  addEventListener("pointerup", (event) => {
    if (!held) return;
    const { pane, x, y, far } = held;
    held = null;
    if (!far) return;
    addEventListener("click", (click) => { click.preventDefault(); click.stopPropagation(); }, { capture: true, once: true });
    const { lon, ordinate, side, unit } = port(pane);
    show(lon - (event.clientX - x) * unit, ordinate + (event.clientY - y) * unit, side);
  });
  doc.addEventListener("dragstart", (event) => { if (event.target.closest(".pane")) event.preventDefault(); });
  doc.addEventListener("wheel", (event) => {
    const pane = event.target.closest(".pane");
    if (!pane || event.ctrlKey) return;
    event.preventDefault();
    wheel += event.deltaY;
    factor = Math.max(1 / 8, Math.min(8, 2 ** (-wheel / 240)));
    const whole = pane.getBoundingClientRect();
    const right = event.clientX - whole.left - whole.width / 2, down = event.clientY - whole.top - whole.height / 2;
    find(".chart", pane).style.transform = `translate(${right * (1 - factor)}px, ${down * (1 - factor)}px) scale(${factor})`;
    clearTimeout(timer);
    timer = setTimeout(() => {
      const { lon, ordinate, side, unit } = port(pane), part = 1 - 1 / factor;
      show(lon + right * unit * part, ordinate - down * unit * part, side / factor);
      wheel = 0; factor = 1;
    }, 180);
  }, { passive: false });

  // Keys: without a modifier, while no field has focus, unless turned off (WCAG 2.1.4).
  const dialog = find("#keys"), box = find("#single-keys");
  if (box) { box.checked = kept("relto-keys") !== "0"; box.addEventListener("change", () => kept("relto-keys", box.checked ? "1" : "0")); }
  const step = (by) => {
    const rows = all(".rows .row");
    if (!rows.length) return;
    const at = rows.indexOf(doc.activeElement), from = at < 0 ? rows.findIndex((row) => row.hasAttribute("aria-current")) : at;
    rows[Math.max(0, Math.min(rows.length - 1, from + by))].focus();
  };
  doc.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const field = typing(event.target);
    if (event.key === "Escape" && field) return event.target.blur();
    if (field || (dialog && dialog.open) || (box && !box.checked && event.key !== "?")) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    const pressed = all("[data-press]").find((one) => one.dataset.press.toLowerCase() === key);
    if (key === "j") step(1);
    else if (key === "k") step(-1);
    else if (key === "/") { const search = find("#q"); if (!search) return; search.focus(); search.select(); }
    else if (key === "?" && dialog) dialog.showModal();
    else if (key === "t") { local = !local; kept("relto-local", local ? "1" : "0"); tick(); }
    else if (pressed) pressed.click();
    else return;
    event.preventDefault();
  });

  const dress = () => {
    body.classList.remove("is-lost");
    for (const button of all("[data-print]")) button.onclick = () => print();
  };
  const reveal = () => { const row = find(".rows .row[aria-current]"); if (row) row.scrollIntoView({ block: "nearest" }); };
  dress();
  reveal();
})();
