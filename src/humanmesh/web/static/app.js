// The page: reads the data in it, builds its parts and ties them to the controls and keys.

import { EXPORTS, fileName, save } from "humanmesh/exports.js";
import { Film, load } from "humanmesh/film.js";
import { readGlb } from "humanmesh/glb.js";
import { PeopleList, cameraRows, element, fillTable } from "humanmesh/panel.js";
import { PersonView } from "humanmesh/person.js";
import { followPointers } from "humanmesh/pointer.js";
import { Stage } from "humanmesh/stage.js";
import { Timeline, allTimes } from "humanmesh/timeline.js";

const TURN_STEP = Math.PI / 24;
const ZOOM_STEP = 1.2;
const OPACITY_STEP = 10;
const VIEWS = {
  photo: (stage) => stage.toPhoto(),
  front: (stage) => stage.toSide(0, 0),
  side: (stage) => stage.toSide(-Math.PI / 2, 0),
  back: (stage) => stage.toSide(Math.PI, 0),
  top: (stage) => stage.toSide(0, -Math.PI / 2),
};
const STYLES = ["photo", "body", "wire", "skeleton", "parts"];

const find = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const say = (text) => (find("status").textContent = text);

/** The bytes of a gzipped text in base 64. */
async function unpack(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Page {
  constructor(data, file) {
    this.data = data;
    this.file = file;
    const { partColors: parts, jointColors: joints } = data;
    this.views = data.people.map((person, number) => new PersonView(file, number, { own: person.color, parts, joints }));
    document.documentElement.style.setProperty("--aspect", String(data.camera.width / data.camera.height));
    this.stage = new Stage(find("canvas"), data.camera, this.views);
    this.stage.afterView = () => this.markView();
    this.film = data.film.length ? new Film(data.film, (image) => this.stage.setPhoto(image)) : null;
    this.list = new PeopleList(find("people"), data.people, (shown) => this.showPeople(shown));
    this.timeline = new Timeline(find("timeline"), allTimes(this.views.map((view) => view.motion)), (seconds) =>
      this.toTime(seconds),
    );
    followPointers(this.stage);
    this.tieControls();
    this.fillNumbers();
    this.dress();
    this.takeTheme();
    this.showPeople(this.list.shown);
    this.markView();
  }

  tieControls() {
    for (const button of all("[data-view]")) button.addEventListener("click", () => this.toView(button.dataset.view));
    for (const box of all("[data-style]")) box.addEventListener("change", () => this.dress());
    for (const button of all("[data-export]")) {
      button.addEventListener("click", () => this.export(button.dataset.export));
    }
    find("opacity").addEventListener("input", () => this.dress());
    find("everyone").addEventListener("click", () => this.list.everyone());
    find("measured").addEventListener("change", () => this.fillMeasurements());
    find("theme").addEventListener("click", () => this.changeTheme());
    find("open-help").addEventListener("click", () => find("help").showModal());
    find("close-help").addEventListener("click", () => find("help").close());
    find("help").addEventListener("click", (event) => event.target === find("help") && find("help").close());
    document.addEventListener("keydown", (event) => this.onKey(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.takeTheme());
  }

  fillNumbers() {
    const { people, camera, photo, film } = this.data;
    this.switchOf("photo").closest("label").hidden = !photo && !film.length;
    const count = people.length === 1 ? "1 person" : `${people.length} people`;
    const frames = this.timeline.isClip ? ` · ${this.timeline.times.length} frames` : "";
    find("summary").textContent = `${count}${frames} · ${camera.width} × ${camera.height} px`;
    fillTable(find("camera"), cameraRows(camera));
    const measured = people.flatMap((person, number) => (person.measurements.length ? [number] : []));
    find("measurements").hidden = measured.length === 0;
    find("measured").hidden = measured.length < 2;
    find("measured").append(
      ...measured.map((number) => element("option", people[number].name, { value: String(number) })),
    );
    find("measures-note").textContent = this.data.measurementsNote;
    this.fillMeasurements();
    find("shortcuts").append(...SHORTCUTS.filter((shortcut) => this.knows(shortcut)).flatMap(helpRow));
  }

  fillMeasurements() {
    const number = Number(find("measured").value || 0);
    fillTable(find("measures"), this.data.people[number]?.measurements ?? []);
  }

  knows(shortcut) {
    if (shortcut.needs === "clip") return this.timeline.isClip;
    return shortcut.needs !== "people" || this.views.length > 1;
  }

  toTime(seconds) {
    for (const view of this.views) view.toTime(seconds);
    this.list.describe(this.views.map((view) => (view.isPresent ? -view.joints()[0].z : null)));
    this.film?.toTime(seconds);
    this.stage.draw();
  }

  showPeople(shown) {
    this.views.forEach((view, row) => view.show(shown[row]));
    find("everyone").hidden = shown.every(Boolean);
    const numbers = this.shownNumbers();
    for (const button of all("[data-export]")) button.disabled = numbers.length === 0;
    const who = numbers.length === 1 ? this.data.people[numbers[0]].name : `${numbers.length} people`;
    const moment = this.timeline.isClip ? "; the OBJ holds this frame, the others the clip" : "";
    find("export-note").textContent = numbers.length ? `Of who is shown: ${who}${moment}.` : "Nobody is shown.";
    say(numbers.length ? `Shown: ${who}` : "Nobody is shown");
    const only = numbers.length === 1 && this.data.people[numbers[0]].measurements.length ? numbers[0] : null;
    if (only !== null) {
      find("measured").value = String(only);
      this.fillMeasurements();
    }
    this.stage.draw();
  }

  shownNumbers() {
    return this.list.shown.flatMap((isShown, row) => (isShown ? [row] : []));
  }

  /** Draw as the switches say. */
  dress() {
    const style = Object.fromEntries(STYLES.map((name) => [name, this.switchOf(name).checked]));
    const opacity = Number(find("opacity").value);
    find("opacity-value").textContent = `${opacity} %`;
    for (const view of this.views) view.dress({ ...style, opacity: opacity / 100 });
    this.stage.backdrop.plane.visible = style.photo;
    this.stage.draw();
  }

  switchOf(name) {
    return document.querySelector(`[data-style="${name}"]`);
  }

  flip(name) {
    const box = this.switchOf(name);
    box.checked = !box.checked;
    this.dress();
    say(`${box.parentElement.textContent.trim()} ${box.checked ? "on" : "off"}`);
  }

  changeOpacity(percent) {
    find("opacity").value = String(Number(find("opacity").value) + percent);
    this.dress();
  }

  toView(name) {
    VIEWS[name](this.stage);
    this.viewName = name;
    this.markView();
    say(`${name} view`);
  }

  /** Press the button of the view that is shown; none once the user has walked on. */
  markView() {
    const current = this.stage.isTouched ? null : this.viewName ?? "photo";
    for (const button of all("[data-view]")) {
      button.setAttribute("aria-pressed", String(button.dataset.view === current));
    }
  }

  async export(suffix) {
    const name = fileName(this.data.title, suffix);
    save(await EXPORTS[suffix](this, this.shownNumbers()), name);
    say(`Saved ${name}`);
  }

  /** What the JSON export says of each person. */
  async fields() {
    return JSON.parse(new TextDecoder().decode(await unpack(this.data.fields)));
  }

  changeTheme() {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    this.takeTheme();
    say(isDark() ? "Dark" : "Light");
  }

  takeTheme() {
    this.stage.setLineColor(getComputedStyle(document.documentElement).getPropertyValue("--frame").trim());
  }

  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || find("help").open) return;
    const field = event.target.closest("button, select, input");
    const isFieldsOwn = field && (event.key === " " || event.key.startsWith("Arrow") || field.matches("select"));
    const shortcut = SHORTCUTS.find(({ keys }) => keys?.includes(event.key.length === 1 ? event.key.toLowerCase() : event.key));
    if (!shortcut || isFieldsOwn) return;
    event.preventDefault();
    shortcut.act(this, event.key);
  }
}

function isDark() {
  const { theme } = document.documentElement.dataset;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
}

const flips = (name) => (page) => page.flip(name);
const turns = {
  ArrowLeft: [-TURN_STEP, 0],
  ArrowRight: [TURN_STEP, 0],
  ArrowUp: [0, -TURN_STEP],
  ArrowDown: [0, TURN_STEP],
};

/** Every key, in the order of the help: what it does, how help writes it, and what it needs. */
const SHORTCUTS = [
  { keys: ["1", "2", "3", "4", "5"], help: ["1", "…", "5"], text: "Photo, front, side, back, top", act: (page, key) => page.toView(Object.keys(VIEWS)[key - 1]) },
  { keys: Object.keys(turns), help: ["←", "→", "↑", "↓"], text: "Walk round (or drag)", act: (page, key) => page.stage.turn(...turns[key]) },
  { keys: ["+", "=", "-"], help: ["+", "−"], text: "Magnify (or scroll, or pinch)", act: (page, key) => page.stage.magnify(key === "-" ? 1 / ZOOM_STEP : ZOOM_STEP) },
  { help: ["Shift"], text: "with dragging: move the picture" },
  { keys: ["p"], help: ["P"], text: "Photo", act: flips("photo") },
  { keys: ["b"], help: ["B"], text: "Body", act: flips("body") },
  { keys: ["w"], help: ["W"], text: "Wireframe", act: flips("wire") },
  { keys: ["s"], help: ["S"], text: "Skeleton", act: flips("skeleton") },
  { keys: ["c"], help: ["C"], text: "Parts in colour", act: flips("parts") },
  { keys: ["[", "]"], help: ["[", "]"], text: "Opacity", act: (page, key) => page.changeOpacity(key === "[" ? -OPACITY_STEP : OPACITY_STEP) },
  { keys: ["n"], help: ["N"], text: "Next person alone", needs: "people", act: (page) => page.list.next() },
  { keys: ["a"], help: ["A"], text: "Everyone", needs: "people", act: (page) => page.list.everyone() },
  { keys: [" "], help: ["Space"], text: "Play, pause", needs: "clip", act: (page) => page.timeline.toggle() },
  { keys: [",", "."], help: [",", "."], text: "One frame back, on", needs: "clip", act: (page, key) => page.timeline.step(key === "," ? -1 : 1) },
  { keys: ["t"], help: ["T"], text: "Light, dark", act: (page) => page.changeTheme() },
  { keys: ["?"], help: ["?"], text: "This help", act: () => find("help").showModal() },
];

function helpRow({ help, text }) {
  const keys = element("dt", "");
  keys.append(...help.map((name) => (name === "…" ? "–" : element("kbd", name))));
  return [keys, element("dd", text)];
}

function tellProblem(error, data) {
  const message = find("message");
  message.textContent = `The 3D view cannot be drawn: ${error.message}. It needs WebGL 2 and a browser of 2023 or later.`;
  message.hidden = false;
  find("canvas").hidden = true;
  if (data.photo) find("canvas").after(element("img", "", { src: data.photo, alt: "The photo" }));
}

const data = JSON.parse(find("data").textContent);
try {
  const page = new Page(data, readGlb(await unpack(data.glb)));
  if (data.photo) page.stage.setPhoto(await load(data.photo));
  // For the console, and for scripts that look at the page.
  window.humanmesh = page;
} catch (error) {
  tellProblem(error, data);
  throw error;
}
