// The numbers beside the picture, and the list of people.

/** An element with a text, and nothing that a text could turn into. */
export function element(name, text, properties = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  return Object.assign(made, properties);
}

/** The list of people, each with a box to tick for who is shown. */
export class PeopleList {
  /**
   * @param {HTMLElement} list
   * @param {{name: string, color: string, score: number | null}[]} people
   * @param {(shown: boolean[]) => void} change
   */
  constructor(list, people, change) {
    this.change = change;
    this.people = people;
    this.boxes = people.map((person, number) => {
      const box = element("input", "", { type: "checkbox", checked: true });
      box.addEventListener("change", () => this.tell());
      list.append(this.row(person, number, box));
      return box;
    });
    this.details = [...list.querySelectorAll("small")];
  }

  row(person, number, box) {
    const swatch = element("span", "", { className: "swatch" });
    swatch.style.background = person.color;
    const name = element("span", person.name, { className: "name" });
    name.append(element("small", ""));
    const label = element("label", "");
    label.append(box, swatch, name);
    const item = element("li", "");
    item.append(label);
    if (this.people.length > 1) {
      const only = element("button", "Only", { type: "button", className: "quiet" });
      only.setAttribute("aria-label", `Show only ${person.name}`);
      only.addEventListener("click", () => this.only(number));
      item.append(only);
    }
    return item;
  }

  get shown() {
    return this.boxes.map((box) => box.checked);
  }

  tell() {
    this.change(this.shown);
  }

  only(number) {
    this.boxes.forEach((box, row) => (box.checked = row === number));
    this.tell();
  }

  everyone() {
    for (const box of this.boxes) box.checked = true;
    this.tell();
  }

  /** Show one person alone: the one after the first who is shown now. */
  next() {
    const alone = this.shown.filter(Boolean).length === 1;
    this.only(alone ? (this.shown.indexOf(true) + 1) % this.boxes.length : 0);
  }

  /** Write under each name how far the person is (metres; null where not to be seen now) and the score. */
  describe(distances) {
    distances.forEach((distance, row) => {
      const { score } = this.people[row];
      const place = distance === null ? "not in this frame" : `${distance.toFixed(2)} m away`;
      this.details[row].textContent = score === null ? place : `${place} · score ${score.toFixed(2)}`;
    });
  }
}

/** Fill the body of a table with rows of a name and a value. */
export function fillTable(body, rows) {
  body.replaceChildren(
    ...rows.map(([name, value]) => {
      const row = element("tr", "");
      row.append(element("th", name, { scope: "row" }), element("td", value));
      return row;
    }),
  );
}

/** What there is to say about the photo's camera. */
export function cameraRows({ focalLength, pixelAspect, principalPoint, width, height }) {
  const diagonal = (2 * Math.atan(Math.hypot(width, height / pixelAspect) / 2 / focalLength) * 180) / Math.PI;
  return [
    ["Photo", `${width} × ${height} px`],
    ["Focal length", `${focalLength.toFixed(focalLength < 100 ? 1 : 0)} px`],
    ["Field of view, diagonal", `${diagonal.toFixed(1)}°`],
    ["Principal point", principalPoint.map((value) => value.toFixed(1)).join(", ")],
  ];
}
