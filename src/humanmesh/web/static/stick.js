// The skeleton: a ball for each joint and a rod for each bone, seen through the body.

import {
  Color, CylinderGeometry, Group, InstancedMesh, Matrix4, MeshBasicMaterial, Quaternion, SphereGeometry, Vector3,
} from "three";

const ROD_RADIUS = 0.008;
const BALL_RADIUS = 0.016;
const UP = new Vector3(0, 1, 0);
const NO_TURN = new Quaternion();

export class StickFigure {
  /**
   * @param {import("three").Bone[]} bones
   * @param {string[]} colors one a bone.
   */
  constructor(bones, colors) {
    this.bones = bones;
    this.rods = bones.filter((bone) => bone.parent?.isBone);
    // `transparent` puts the skeleton after all bodies; without a depth test it shines through them.
    const material = new MeshBasicMaterial({ depthTest: false, transparent: true });
    this.rodMeshes = new InstancedMesh(new CylinderGeometry(ROD_RADIUS, ROD_RADIUS, 1, 8), material, this.rods.length);
    this.ballMeshes = new InstancedMesh(new SphereGeometry(BALL_RADIUS, 14, 10), material, bones.length);
    this.rods.forEach((bone, row) => this.rodMeshes.setColorAt(row, new Color(colors[bones.indexOf(bone)])));
    bones.forEach((_, row) => this.ballMeshes.setColorAt(row, new Color(colors[row])));
    this.group = new Group().add(this.rodMeshes, this.ballMeshes);
    for (const [order, mesh] of this.group.children.entries()) {
      mesh.frustumCulled = false;
      mesh.renderOrder = 10 + order;
    }
  }

  /** Move to where the bones are now. */
  follow() {
    const place = (bone) => new Vector3().setFromMatrixPosition(bone.matrixWorld);
    const matrix = new Matrix4();
    this.rods.forEach((bone, row) => {
      const start = place(bone.parent);
      const along = place(bone).sub(start);
      const turn = new Quaternion().setFromUnitVectors(UP, along.clone().normalize());
      const middle = start.addScaledVector(along, 0.5);
      this.rodMeshes.setMatrixAt(row, matrix.compose(middle, turn, new Vector3(1, along.length(), 1)));
    });
    this.bones.forEach((bone, row) => {
      this.ballMeshes.setMatrixAt(row, matrix.compose(place(bone), NO_TURN, new Vector3(1, 1, 1)));
    });
    this.rodMeshes.instanceMatrix.needsUpdate = true;
    this.ballMeshes.instanceMatrix.needsUpdate = true;
  }
}
