// The picture: the photo, the people over it in the photo's own camera, and the walk round them.
//
// The view is a turn about a pivot (yaw, pitch) and a magnification of the picture (zoom, pan). With all of them at
// rest the picture is the photo's own, to the pixel; magnifying it keeps that true. Views from the sides stand upright in
// the room, where the photo's camera is known to look down.

import {
  AmbientLight, BufferAttribute, BufferGeometry, ColorManagement, DirectionalLight, Euler, Group, LinearSRGBColorSpace,
  LineBasicMaterial, LineSegments, Mesh, MeshBasicMaterial, NoColorSpace, PerspectiveCamera, PlaneGeometry, Quaternion,
  Scene, Texture, Vector3, WebGLRenderer,
} from "three";

const NEAR = 0.05;
const FAR = 1000;
const MARGIN = 20;
const ROOM_BEHIND = 0.6;
const SMALLEST_ZOOM = 0.3;
const LARGEST_ZOOM = 40;
const HIGHEST_PITCH = Math.PI / 2;
const FRAMED = 0.86;
const MOVE_MILLISECONDS = 420;
const ACROSS = new Vector3(1, 0, 0);
const AT_REST = { yaw: 0, pitch: 0, zoom: 1, panX: 0, panY: 0 };

// The page's colours are those of the pictures that `humanmesh predict` draws: plain numbers, no colour management.
ColorManagement.enabled = false;

/** @typedef {{focalLength: number, pixelAspect: number, principalPoint: [number, number], width: number, height: number, pitch: number}} PhotoCamera */

export class Stage {
  /**
   * @param {HTMLCanvasElement} canvas
   * @param {PhotoCamera} photoCamera pixels, the focal length in y over that in x, and the radians by which it looks down.
   * @param {import("humanmesh/person.js").PersonView[]} people
   */
  constructor(canvas, photoCamera, people) {
    this.canvas = canvas;
    this.photoCamera = photoCamera;
    this.people = people;
    this.view = { ...AT_REST };
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: true });
    this.renderer.outputColorSpace = LinearSRGBColorSpace;
    this.camera = new PerspectiveCamera();
    this.camera.matrixAutoUpdate = false;
    this.scene = new Scene().add(this.camera, ...people.map((person) => person.group));
    addLights(this.camera);
    this.backdrop = new Backdrop(photoCamera, depthBehind(people));
    this.scene.add(this.backdrop.group);
    this.pivot = this.middle();
    new ResizeObserver(() => this.resize()).observe(canvas);
    this.resize();
  }

  /** Put the photo's picture behind the people. */
  setPhoto(image) {
    this.backdrop.setPhoto(image);
    this.draw();
  }

  /** Draw in the next frame of the screen. */
  draw() {
    this.request ??= requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    this.request = undefined;
    this.aim();
    this.renderer.render(this.scene, this.camera);
  }

  /** Colour of the photo's edge and of the lines to the camera. */
  setLineColor(color) {
    this.backdrop.lines.material.color.set(color);
    this.draw();
  }

  /** The user moves the view: what moved by itself stops. */
  touch() {
    this.stopMoving();
    this.isTouched = true;
    this.afterView?.();
    this.draw();
  }

  resize() {
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth || !clientHeight) return;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.renderer.setSize(clientWidth, clientHeight, false);
    this.drawNow();
  }

  /** Where the photo lies at rest or magnified: CSS pixels of its upper left corner, and CSS pixels a photo pixel. */
  photoPlace() {
    const { clientWidth, clientHeight } = this.canvas;
    const { width, height } = this.photoCamera;
    const fit = Math.min((clientWidth - 2 * MARGIN) / width, (clientHeight - 2 * MARGIN) / height);
    const scale = fit * this.view.zoom;
    return {
      left: (clientWidth - scale * width) / 2 + this.view.panX,
      top: (clientHeight - scale * height) / 2 + this.view.panY,
      scale,
    };
  }

  /** Set the camera for the view. */
  aim() {
    const { clientWidth, clientHeight } = this.canvas;
    const { focalLength, pixelAspect, principalPoint } = this.photoCamera;
    const { left, top, scale } = this.photoPlace();
    const across = (2 * scale * focalLength) / clientWidth;
    const up = (2 * scale * focalLength * pixelAspect) / clientHeight;
    const right = 1 - (2 * (left + scale * principalPoint[0])) / clientWidth;
    const down = (2 * (top + scale * principalPoint[1])) / clientHeight - 1;
    const depth = (FAR + NEAR) / (NEAR - FAR);
    this.camera.projectionMatrix.set(
      across, 0, right, 0,
      0, up, down, 0,
      0, 0, depth, (2 * FAR * NEAR) / (NEAR - FAR),
      0, 0, -1, 0,
    );
    this.camera.projectionMatrixInverse.copy(this.camera.projectionMatrix).invert();
    const turn = this.viewer();
    const position = this.pivot.clone().negate().applyQuaternion(turn).add(this.pivot);
    this.camera.matrix.compose(position, turn, new Vector3(1, 1, 1));
    this.camera.updateMatrixWorld(true);
  }

  /** The viewer's turn away from the photo's camera: yaw about the room's vertical, then up or down from where that camera looks. */
  viewer() {
    const { pitch } = this.photoCamera;
    const inRoom = new Quaternion().setFromEuler(new Euler(this.view.pitch - pitch, this.view.yaw, 0, "YXZ"));
    return new Quaternion().setFromAxisAngle(ACROSS, pitch).multiply(inRoom);
  }

  /** Walk round the people: radians to the right and upwards. */
  turn(right, upward) {
    const { pitch } = this.photoCamera;
    this.view.yaw -= right;
    this.view.pitch = clamp(this.view.pitch - upward, pitch - HIGHEST_PITCH, pitch + HIGHEST_PITCH);
    this.touch();
  }

  /** Move the picture: CSS pixels. */
  pan(right, down) {
    this.view.panX += right;
    this.view.panY += down;
    this.touch();
  }

  /** Magnify the picture about a point of the canvas (CSS pixels); its middle where none is given. */
  magnify(factor, x = this.canvas.clientWidth / 2, y = this.canvas.clientHeight / 2) {
    const before = this.photoPlace();
    this.view.zoom = clamp(this.view.zoom * factor, SMALLEST_ZOOM, LARGEST_ZOOM);
    const after = this.photoPlace();
    const ratio = after.scale / before.scale;
    this.view.panX += x - (x - before.left) * ratio - after.left;
    this.view.panY += y - (y - before.top) * ratio - after.top;
    this.touch();
  }

  /** The photo's own view. */
  toPhoto() {
    // Whole turns are the same view: the way back is the shorter one.
    this.view.yaw = Math.atan2(Math.sin(this.view.yaw), Math.cos(this.view.yaw));
    this.move({ ...AT_REST });
  }

  /** The people from a side, filling the picture: radians round from the photo's camera, and up from the horizon. */
  toSide(yaw, pitch) {
    this.pivot = this.middle();
    const start = { ...this.view };
    Object.assign(this.view, AT_REST, { yaw, pitch: pitch + this.photoCamera.pitch });
    const goal = this.framed();
    this.view = start;
    this.move(goal);
  }

  /** The view with magnification and shift such that the joints of the people shown fill the canvas. */
  framed() {
    this.aim();
    const points = this.shownPeople().flatMap((person) => person.joints()).map((point) => point.project(this.camera));
    if (!points.length) return { ...this.view };
    const { clientWidth, clientHeight } = this.canvas;
    const xs = points.map((point) => ((point.x + 1) / 2) * clientWidth);
    const ys = points.map((point) => ((1 - point.y) / 2) * clientHeight);
    const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
    // Heads, hands and feet reach beyond their joints.
    const reach = 0.12 * Math.max(right - left, bottom - top);
    const fit = Math.min(clientWidth / (right - left + 2 * reach), clientHeight / (bottom - top + 2 * reach));
    const zoom = clamp(FRAMED * fit, SMALLEST_ZOOM, LARGEST_ZOOM);
    const { scale } = this.photoPlace();
    const { width, height } = this.photoCamera;
    const place = { left: (clientWidth - scale * width) / 2, top: (clientHeight - scale * height) / 2 };
    const wanted = (middle, origin, size) => size / 2 - zoom * (middle - origin);
    return {
      ...this.view,
      zoom,
      panX: wanted((left + right) / 2, place.left, clientWidth) - (clientWidth - zoom * scale * width) / 2,
      panY: wanted((top + bottom) / 2, place.top, clientHeight) - (clientHeight - zoom * scale * height) / 2,
    };
  }

  /** Go to another view, at once where the user wants little motion. */
  move(goal) {
    this.stopMoving();
    this.isTouched = false;
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      this.view = goal;
      this.draw();
      return;
    }
    const from = { ...this.view };
    const start = performance.now();
    const step = (now) => {
      const share = Math.min(1, Math.max(0, now - start) / MOVE_MILLISECONDS);
      const eased = 1 - (1 - share) ** 3;
      for (const name of Object.keys(goal)) this.view[name] = from[name] + (goal[name] - from[name]) * eased;
      this.drawNow();
      this.moving = share < 1 ? requestAnimationFrame(step) : undefined;
    };
    this.moving = requestAnimationFrame(step);
  }

  stopMoving() {
    if (this.moving !== undefined) cancelAnimationFrame(this.moving);
    this.moving = undefined;
  }

  shownPeople() {
    return this.people.filter((person) => person.group.visible);
  }

  /** Middle of the pelvises of the people shown, or a point before the camera where nobody is. */
  middle() {
    const shown = this.shownPeople();
    if (!shown.length) return this.pivot ?? new Vector3(0, 0, -3);
    const sum = shown.reduce((total, person) => total.add(person.joints()[0]), new Vector3());
    return sum.divideScalar(shown.length);
  }
}

/** The photo as a picture that stands behind the people, and the lines from its corners to the camera. */
class Backdrop {
  constructor(camera, depth) {
    const { focalLength, pixelAspect, principalPoint, width, height } = camera;
    const across = depth / focalLength; // metres a pixel
    const up = across / pixelAspect;
    const left = -principalPoint[0] * across;
    const top = principalPoint[1] * up;
    const right = left + width * across;
    const bottom = top - height * up;
    this.plane = new Mesh(new PlaneGeometry(width * across, height * up), new MeshBasicMaterial({ visible: false }));
    this.plane.position.set((left + right) / 2, (top + bottom) / 2, -depth);
    const corners = [[left, top], [right, top], [right, bottom], [left, bottom]].map(([x, y]) => [x, y, -depth]);
    const edges = corners.flatMap((corner, row) => [corner, corners[(row + 1) % 4], corner, [0, 0, 0]]);
    const geometry = new BufferGeometry();
    geometry.setAttribute("position", new BufferAttribute(new Float32Array(edges.flat()), 3));
    this.lines = new LineSegments(geometry, new LineBasicMaterial({ transparent: true, opacity: 0.55 }));
    this.group = new Group().add(this.plane, this.lines);
  }

  /** Take a picture; one after the first has the first's size. */
  setPhoto(image) {
    const { material } = this.plane;
    if (!material.map) {
      material.map = new Texture();
      material.map.colorSpace = NoColorSpace;
      material.visible = true;
      material.needsUpdate = true;
    }
    material.map.image = image;
    material.map.needsUpdate = true;
  }
}

/** The lamps of `humanmesh.render.shading.Lights`, which stay with the viewer. */
function addLights(camera) {
  const lamp = (strength, x, y, z) => {
    const light = new DirectionalLight("#ffffff", strength * Math.PI);
    light.position.set(x, y, z);
    light.target.position.set(0, 0, 0);
    camera.add(light, light.target);
  };
  lamp(0.65, -0.5, 0.7, 1);
  lamp(0.2, 0.9, -0.1, 0.6);
  camera.add(new AmbientLight("#ffffff", 0.38 * Math.PI));
}

/** Metres from the camera to a wall behind everybody in every frame. */
function depthBehind(people) {
  const depths = people.flatMap((person) => {
    const depth = [];
    for (let row = 2; row < person.motion.positions.length; row += 3) depth.push(-person.motion.positions[row]);
    return depth;
  });
  return depths.reduce((farthest, depth) => Math.max(farthest, depth), 2) + 1 + ROOM_BEHIND;
}

function clamp(value, lowest, highest) {
  return Math.min(highest, Math.max(lowest, value));
}
