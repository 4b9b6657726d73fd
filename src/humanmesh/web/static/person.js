// One person as three.js draws it: a skinned mesh and a skeleton, in any frame of the clip.

import {
  Bone, BufferAttribute, BufferGeometry, Color, Group, Matrix4, MeshBasicMaterial, MeshLambertMaterial, Skeleton,
  SkinnedMesh, Vector3,
} from "three";
import { accessorArray } from "humanmesh/glb.js";
import { StickFigure } from "humanmesh/stick.js";
import { SAME_TIME, lastBefore } from "humanmesh/times.js";

const LINES_ON_BODY = 0.3;
const LINES_ALONE = 0.7;

/** What is drawn of one person. Metres, y up, the photo's camera at the origin looking along -z. */
export class PersonView {
  /**
   * @param {{document: object, binary: Uint8Array}} file as `readGlb` gives it.
   * @param {number} number of the person's skin in the file.
   * @param {{own: string, parts: string[], joints: string[]}} colors of the body, its parts, its joints.
   */
  constructor(file, number, colors) {
    this.color = colors.own;
    const skin = file.document.skins[number];
    const joints = skin.joints.map((joint) => file.document.nodes[joint]);
    this.bones = bonesOf(joints, skin);
    this.motion = motionOf(file, skin, joints);
    this.plain = new MeshLambertMaterial({ transparent: true });
    this.wire = new MeshBasicMaterial({ transparent: true, wireframe: true });
    // A first pass that writes depth alone keeps bodies that let the photo through, and nets, from showing their far side.
    const depthAlone = { colorWrite: false, polygonOffset: true, polygonOffsetFactor: 1, polygonOffsetUnits: 1 };
    const geometry = geometryOf(file, meshOf(file.document, number), colors.parts);
    const skeleton = new Skeleton(this.bones, inverseBindsOf(file, skin));
    this.body = skinned(geometry, this.plain, skeleton);
    this.depth = skinned(geometry, new MeshBasicMaterial(depthAlone), skeleton);
    this.net = skinned(geometry, this.wire, skeleton);
    // The photo comes first (0): depth written before it would cut it away.
    [this.depth, this.body, this.net].forEach((mesh, row) => (mesh.renderOrder = row + 1));
    this.stick = new StickFigure(this.bones, colors.joints);
    this.group = new Group().add(this.bones[0], this.depth, this.body, this.net, this.stick.group);
    this.isShown = true;
    this.toTime(this.motion.times[0]);
  }

  get faces() {
    return this.body.geometry.index.array;
  }

  /** Take the pose at a time of the clip (seconds); before and after the person was seen, nothing is drawn. */
  toTime(seconds) {
    const { times, positions, quaternions } = this.motion;
    const frame = lastBefore(times, seconds);
    this.isPresent = frame >= 0 && seconds <= times.at(-1) + SAME_TIME;
    this.group.visible = this.isShown && this.isPresent;
    if (!this.isPresent) return;
    this.bones[0].position.fromArray(positions, 3 * frame);
    this.bones.forEach((bone, row) => bone.quaternion.fromArray(quaternions[row], 4 * frame));
    this.group.updateMatrixWorld(true);
    this.stick.follow();
  }

  /** Show or hide the whole person. */
  show(isShown) {
    this.isShown = isShown;
    this.group.visible = isShown && this.isPresent;
  }

  /** @param {{body: boolean, wire: boolean, skeleton: boolean, parts: boolean, opacity: number}} style */
  dress(style) {
    this.depth.visible = style.body || style.wire;
    this.body.visible = style.body;
    this.net.visible = style.wire;
    this.stick.group.visible = style.skeleton;
    this.plain.needsUpdate ||= this.plain.vertexColors !== style.parts;
    this.plain.vertexColors = style.parts;
    this.plain.color.set(style.parts ? "#ffffff" : this.color);
    this.plain.opacity = style.opacity;
    this.wire.color.set(style.body ? "#000000" : this.color);
    this.wire.opacity = style.body ? LINES_ON_BODY : LINES_ALONE;
  }

  /** Positions of the joints in this frame. */
  joints() {
    return this.bones.map((bone) => new Vector3().setFromMatrixPosition(bone.matrixWorld));
  }

  /** Positions of the vertices in this frame, three numbers each. */
  vertices() {
    const count = this.body.geometry.getAttribute("position").count;
    const positions = new Float32Array(3 * count);
    const point = new Vector3();
    for (let row = 0; row < count; row++) this.body.getVertexPosition(row, point).toArray(positions, 3 * row);
    return positions;
  }
}

function skinned(geometry, material, skeleton) {
  const mesh = new SkinnedMesh(geometry, material);
  mesh.frustumCulled = false;
  mesh.bind(skeleton, new Matrix4());
  if (geometry.morphAttributes.position) mesh.morphTargetInfluences = [1];
  return mesh;
}

function bonesOf(joints, skin) {
  const bones = joints.map((node) => {
    const bone = new Bone();
    bone.name = node.name;
    bone.position.fromArray(node.translation);
    return bone;
  });
  joints.forEach((node, row) => {
    for (const child of node.children ?? []) bones[row].add(bones[skin.joints.indexOf(child)]);
  });
  return bones;
}

/** Times (seconds), root positions and the turn of each joint, frame by frame; one frame where nothing moves. */
function motionOf(file, skin, joints) {
  const animation = file.document.animations?.[0];
  if (!animation) {
    return { times: [0], positions: joints[0].translation, quaternions: joints.map((node) => node.rotation) };
  }
  const sampler = (number, path) => {
    const channel = animation.channels.find(({ target }) => target.node === number && target.path === path);
    return animation.samplers[channel.sampler];
  };
  const root = sampler(skin.joints[0], "translation");
  return {
    times: accessorArray(file, root.input),
    positions: accessorArray(file, root.output),
    quaternions: skin.joints.map((number) => accessorArray(file, sampler(number, "rotation").output)),
  };
}

function inverseBindsOf(file, skin) {
  const numbers = accessorArray(file, skin.inverseBindMatrices);
  return skin.joints.map((_, row) => new Matrix4().fromArray(numbers, 16 * row));
}

function meshOf(document, skin) {
  return document.meshes[document.nodes.find((node) => node.skin === skin).mesh];
}

function geometryOf(file, mesh, partColors) {
  const primitive = mesh.primitives[0];
  const attribute = (number, size) => new BufferAttribute(accessorArray(file, number), size);
  const { POSITION, NORMAL, JOINTS_0, WEIGHTS_0 } = primitive.attributes;
  const geometry = new BufferGeometry();
  geometry.setIndex(attribute(primitive.indices, 1));
  geometry.setAttribute("position", attribute(POSITION, 3));
  geometry.setAttribute("normal", attribute(NORMAL, 3));
  geometry.setAttribute("skinIndex", attribute(JOINTS_0, 4));
  geometry.setAttribute("skinWeight", attribute(WEIGHTS_0, 4));
  geometry.setAttribute("color", partColorsOf(geometry, partColors));
  if (primitive.targets) {
    geometry.morphAttributes.position = primitive.targets.map((target) => attribute(target.POSITION, 3));
    geometry.morphTargetsRelative = true;
  }
  return geometry;
}

/** Each vertex in the colour of the joint that moves it most. */
function partColorsOf(geometry, partColors) {
  const palette = partColors.map((color) => new Color(color));
  const { skinIndex, skinWeight } = geometry.attributes;
  const colors = new Float32Array(3 * skinIndex.count);
  for (let row = 0; row < skinIndex.count; row++) {
    let heaviest = 0;
    for (let place = 1; place < 4; place++) {
      if (skinWeight.getComponent(row, place) > skinWeight.getComponent(row, heaviest)) heaviest = place;
    }
    palette[skinIndex.getComponent(row, heaviest)].toArray(colors, 3 * row);
  }
  return new BufferAttribute(colors, 3);
}
