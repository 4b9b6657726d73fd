// Moments of a clip, in seconds.

/** Seconds within which two times are one. */
export const SAME_TIME = 1e-4;

/** Row of the last of some increasing times that is not after a moment; -1 where all are. */
export function lastBefore(times, moment) {
  return times.findLastIndex((time) => time <= moment + SAME_TIME);
}
