// The clip: which moment is shown, and playing it.

import { SAME_TIME, lastBefore } from "humanmesh/times.js";

export class Timeline {
  /**
   * @param {HTMLElement} element holds the controls.
   * @param {number[]} times of the frames in seconds, increasing.
   * @param {(seconds: number) => void} show
   */
  constructor(element, times, show) {
    this.element = element;
    this.times = times;
    this.show = show;
    this.frame = 0;
    this.isPlaying = false;
    const find = (id) => element.querySelector(`#${id}`);
    [this.button, this.slider, this.clock, this.speed] = ["play", "time", "clock", "speed"].map(find);
    this.slider.max = String(times.length - 1);
    this.slider.addEventListener("input", () => {
      this.pause();
      this.toFrame(Number(this.slider.value));
    });
    this.button.addEventListener("click", () => this.toggle());
    element.hidden = !this.isClip;
    this.toFrame(0);
  }

  get isClip() {
    return this.times.length > 1;
  }

  /** Go to a frame; beyond the last comes the first. */
  toFrame(frame) {
    this.frame = (frame + this.times.length) % this.times.length;
    const seconds = this.times[this.frame];
    this.slider.value = String(this.frame);
    this.clock.textContent = `${clock(seconds)} / ${clock(this.times.at(-1))}`;
    this.slider.setAttribute("aria-valuetext", `frame ${this.frame + 1} of ${this.times.length}`);
    this.show(seconds);
  }

  step(frames) {
    if (!this.isClip) return;
    this.pause();
    this.toFrame(this.frame + frames);
  }

  toggle() {
    if (!this.isClip) return;
    if (this.isPlaying) this.pause();
    else this.play();
  }

  play() {
    this.isPlaying = true;
    this.dress();
    let seconds = this.times[this.frame];
    let before = performance.now();
    const tick = (now) => {
      if (!this.isPlaying) return;
      seconds += (Math.max(0, now - before) / 1000) * Number(this.speed.value);
      before = now;
      const last = this.times.at(-1);
      // The last frame stays for as long as the one before it did.
      if (seconds > last + (last - this.times.at(-2))) seconds = this.times[0];
      const frame = lastBefore(this.times, seconds);
      if (frame !== this.frame) this.toFrame(frame);
      requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  }

  pause() {
    this.isPlaying = false;
    this.dress();
  }

  dress() {
    this.element.classList.toggle("playing", this.isPlaying);
    this.button.setAttribute("aria-label", this.isPlaying ? "Pause" : "Play");
  }
}

/** The times of all frames of several people, increasing and each once. */
export function allTimes(motions) {
  const sorted = motions.flatMap((motion) => [...motion.times]).sort((a, b) => a - b);
  return sorted.filter((time, row) => row === 0 || time > sorted[row - 1] + SAME_TIME);
}

function clock(seconds) {
  const minutes = Math.floor(seconds / 60);
  return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
}
