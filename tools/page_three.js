// The part of three.js that the page needs (src/humanmesh/web/static/three.js), made by
//   npm install three@0.187.0 esbuild@0.28.2
//   npx esbuild tools/page_three.js --bundle --minify --format=esm --outfile=src/humanmesh/web/static/three.js
export {
  AmbientLight, Bone, BufferAttribute, BufferGeometry, Color, ColorManagement, CylinderGeometry, DirectionalLight, Euler,
  Group, InstancedMesh, LineBasicMaterial, LineSegments, LinearSRGBColorSpace, Matrix4, Mesh, MeshBasicMaterial,
  MeshLambertMaterial, NoColorSpace, PerspectiveCamera, PlaneGeometry, Quaternion, Scene, Skeleton, SkinnedMesh,
  SphereGeometry, Texture, Vector3, WebGLRenderer,
} from "three";
