// glTF 2.0 in one binary file: what the page needs to show its people, and to write some of them again.

const MAGIC = 0x46546c67;
const JSON_CHUNK = 0x4e4f534a;
const BINARY_CHUNK = 0x004e4942;
const ARRAY_OF_COMPONENT = { 5121: Uint8Array, 5123: Uint16Array, 5125: Uint32Array, 5126: Float32Array };
const NUMBERS_OF_TYPE = { SCALAR: 1, VEC3: 3, VEC4: 4, MAT4: 16 };

/** The document and the binary half of a GLB file. */
export function readGlb(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw new Error("not a GLB file");
  const length = view.getUint32(12, true);
  const document = JSON.parse(new TextDecoder().decode(bytes.subarray(20, 20 + length)));
  const start = 20 + length + 8;
  return { document, binary: bytes.slice(start, start + view.getUint32(20 + length, true)) };
}

/** The numbers of an accessor, without a copy. */
export function accessorArray({ document, binary }, number) {
  const accessor = document.accessors[number];
  const view = document.bufferViews[accessor.bufferView];
  const offset = (view.byteOffset ?? 0) + (accessor.byteOffset ?? 0);
  const count = accessor.count * NUMBERS_OF_TYPE[accessor.type];
  return new ARRAY_OF_COMPONENT[accessor.componentType](binary.buffer, offset, count);
}

/**
 * A GLB file with some of the people only.
 *
 * @param {{document: object, binary: Uint8Array}} file
 * @param {number[]} people numbers of the skins to keep.
 * @returns {Blob}
 */
export function glbOfPeople(file, people) {
  const document = structuredClone(file.document);
  const nodes = document.nodes.flatMap((node, number) => (belongs(document, node, number, people) ? [number] : []));
  const node = renumbering(nodes);
  const mesh = renumbering(document.meshes.flatMap((_, number) => (wearsMesh(document, number, people) ? [number] : [])));
  const skin = renumbering(people);
  document.meshes = pick(document.meshes, mesh);
  document.skins = pick(document.skins, skin);
  document.nodes = pick(document.nodes, node);
  document.scenes[0].nodes = document.scenes[0].nodes.filter((number) => node.has(number)).map((number) => node.get(number));
  for (const kept of document.nodes) {
    if (kept.children) kept.children = kept.children.map((number) => node.get(number));
    if (kept.mesh !== undefined) kept.mesh = mesh.get(kept.mesh);
    if (kept.skin !== undefined) kept.skin = skin.get(kept.skin);
  }
  for (const kept of document.skins) {
    kept.joints = kept.joints.map((number) => node.get(number));
    if (kept.skeleton !== undefined) kept.skeleton = node.get(kept.skeleton);
  }
  for (const animation of document.animations ?? []) keepChannels(animation, node);
  return writeGlb(document, keepAccessors(document, file.binary));
}

function belongs(document, node, number, people) {
  if (node.camera !== undefined) return true;
  return people.some((person) => node.skin === person || document.skins[person].joints.includes(number));
}

function wearsMesh(document, mesh, people) {
  return document.nodes.some((node) => node.mesh === mesh && people.includes(node.skin));
}

/** Old number -> new number, for the old numbers that stay. */
function renumbering(kept) {
  return new Map(kept.map((number, place) => [number, place]));
}

function pick(list, numbers) {
  return [...numbers.keys()].map((number) => list[number]);
}

function keepChannels(animation, node) {
  animation.channels = animation.channels.filter(({ target }) => node.has(target.node));
  const sampler = renumbering([...new Set(animation.channels.map((channel) => channel.sampler))]);
  animation.samplers = pick(animation.samplers, sampler);
  for (const channel of animation.channels) {
    channel.sampler = sampler.get(channel.sampler);
    channel.target.node = node.get(channel.target.node);
  }
}

/** Leave out the accessors that nothing uses any more, and return the binary half without them. */
function keepAccessors(document, binary) {
  const used = new Set();
  visitAccessors(document, (number) => (used.add(number), number));
  const accessor = renumbering([...used].sort((a, b) => a - b));
  visitAccessors(document, (number) => accessor.get(number));
  document.accessors = pick(document.accessors, accessor);
  const view = renumbering([...new Set(document.accessors.map((kept) => kept.bufferView))]);
  for (const kept of document.accessors) kept.bufferView = view.get(kept.bufferView);
  document.bufferViews = pick(document.bufferViews, view);
  const parts = [];
  let size = 0;
  for (const kept of document.bufferViews) {
    const part = new Uint8Array(Math.ceil(kept.byteLength / 4) * 4);
    part.set(binary.subarray(kept.byteOffset ?? 0, (kept.byteOffset ?? 0) + kept.byteLength));
    kept.byteOffset = size;
    size += part.length;
    parts.push(part);
  }
  document.buffers = [{ byteLength: size }];
  return parts;
}

/** Replace each number of an accessor in the document by `change` of it. */
function visitAccessors(document, change) {
  const each = (holder) => Object.keys(holder).forEach((name) => (holder[name] = change(holder[name])));
  for (const { primitives } of document.meshes) {
    for (const primitive of primitives) {
      each(primitive.attributes);
      primitive.indices = change(primitive.indices);
      primitive.targets?.forEach(each);
    }
  }
  for (const skin of document.skins) skin.inverseBindMatrices = change(skin.inverseBindMatrices);
  for (const sampler of (document.animations ?? []).flatMap((animation) => animation.samplers)) {
    sampler.input = change(sampler.input);
    sampler.output = change(sampler.output);
  }
}

function writeGlb(document, parts) {
  const encoded = new TextEncoder().encode(JSON.stringify(document));
  const text = new Uint8Array(Math.ceil(encoded.length / 4) * 4).fill(0x20);
  text.set(encoded);
  const size = parts.reduce((total, part) => total + part.length, 0);
  const header = new Uint32Array([MAGIC, 2, 12 + 8 + text.length + 8 + size, text.length, JSON_CHUNK]);
  return new Blob([header, text, new Uint32Array([size, BINARY_CHUNK]), ...parts], { type: "model/gltf-binary" });
}
