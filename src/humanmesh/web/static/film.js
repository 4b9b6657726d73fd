// The frames of a film, which stand behind the people as a photo does.

import { lastBefore } from "humanmesh/times.js";

const FRAMES_AHEAD = 6;

/** The picture that an address in the page holds. */
export async function load(source) {
  const image = new Image();
  image.src = source;
  await image.decode();
  return image;
}

export class Film {
  /**
   * @param {{time: number, source: string}[]} frames seconds, increasing; pictures of one size.
   * @param {(image: HTMLImageElement) => void} show
   */
  constructor(frames, show) {
    this.frames = frames;
    this.times = frames.map((frame) => frame.time);
    this.show = show;
    this.images = [];
  }

  /** Show the frame of a moment as soon as it is decoded, unless another has been asked for by then. */
  async toTime(seconds) {
    const row = Math.max(0, lastBefore(this.times, seconds));
    if (row === this.row) return;
    this.row = row;
    for (let ahead = 1; ahead <= FRAMES_AHEAD; ahead++) this.image((row + ahead) % this.frames.length);
    const image = await this.image(row);
    if (row === this.row) this.show(image);
  }

  image(row) {
    return (this.images[row] ??= load(this.frames[row].source));
  }
}
