// Files of what is shown: made here, saved by the browser.

import { glbOfPeople } from "humanmesh/glb.js";

/** Suffix -> what makes a file of some of the people, given by their numbers. */
export const EXPORTS = {
  glb: (page, numbers) => glbOfPeople(page.file, numbers),
  obj: (page, numbers) => new Blob([objOf(page, numbers)], { type: "model/obj" }),
  json: async (page, numbers) => new Blob([await jsonOf(page, numbers)], { type: "application/json" }),
};

/** Let the browser save a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** A file name that every system takes. */
export function fileName(title, suffix) {
  const stem = title.replace(/\.[A-Za-z0-9]{1,5}$/, "").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "");
  return `${stem.slice(0, 80) || "people"}.${suffix}`;
}

/** The posed meshes of this moment: metres, y up. */
function objOf({ views, data }, numbers) {
  const lines = ["# humanmesh: metres, y up, the photo's camera at the origin looking along -z"];
  let before = 1;
  for (const number of numbers.filter((row) => views[row].isPresent)) {
    const vertices = views[number].vertices();
    const { faces } = views[number];
    lines.push(`o ${data.people[number].name.replaceAll(/\s+/g, "_")}`);
    for (let row = 0; row < vertices.length; row += 3) {
      lines.push(`v ${[0, 1, 2].map((axis) => vertices[row + axis].toFixed(6)).join(" ")}`);
    }
    for (let row = 0; row < faces.length; row += 3) {
      lines.push(`f ${[0, 1, 2].map((corner) => faces[row + corner] + before).join(" ")}`);
    }
    before += vertices.length / 3;
  }
  return lines.join("\n") + "\n";
}

async function jsonOf(page, numbers) {
  const everybody = await page.fields();
  const people = numbers.map((number) => everybody[number]);
  const content = people.length === 1 ? people[0] : { format: page.data.format, people };
  return JSON.stringify(content, null, 1) + "\n";
}
