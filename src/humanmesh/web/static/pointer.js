// Mouse, pen and fingers on the picture: one pointer walks round, two or a second button move and magnify.

const RADIANS_PER_PIXEL = 0.008;
const MAGNIFICATION_PER_PIXEL = 0.0016;
const PIXELS_PER_LINE = 16;

/** @param {import("humanmesh/stage.js").Stage} stage */
export function followPointers(stage) {
  const { canvas } = stage;
  const pointers = new Map();

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, { x: event.offsetX, y: event.offsetY });
    canvas.classList.add("held");
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const now = { x: event.offsetX, y: event.offsetY };
    if (pointers.size === 2) {
      const other = [...pointers].find(([id]) => id !== event.pointerId)[1];
      pinch(stage, before, now, other);
    } else if (event.shiftKey || event.buttons > 1) {
      stage.pan(now.x - before.x, now.y - before.y);
    } else {
      stage.turn((now.x - before.x) * RADIANS_PER_PIXEL, (now.y - before.y) * RADIANS_PER_PIXEL);
    }
    pointers.set(event.pointerId, now);
  });
  for (const name of ["pointerup", "pointercancel"]) {
    canvas.addEventListener(name, (event) => {
      pointers.delete(event.pointerId);
      canvas.classList.toggle("held", pointers.size > 0);
    });
  }
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("dblclick", () => stage.toPhoto());
  const onWheel = (event) => {
    event.preventDefault();
    const pixels = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? event.deltaY * PIXELS_PER_LINE : event.deltaY;
    stage.magnify(Math.exp(-pixels * MAGNIFICATION_PER_PIXEL), event.offsetX, event.offsetY);
  };
  canvas.addEventListener("wheel", onWheel, { passive: false });
}

/** One of two fingers has moved: the picture follows their middle and their distance. */
function pinch(stage, before, now, other) {
  const apart = (point) => Math.hypot(point.x - other.x, point.y - other.y);
  stage.pan((now.x - before.x) / 2, (now.y - before.y) / 2);
  if (apart(before) > 0) stage.magnify(apart(now) / apart(before), (now.x + other.x) / 2, (now.y + other.y) / 2);
}
