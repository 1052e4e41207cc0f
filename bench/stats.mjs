// The statistics of many measurements. Pure.
//
// Owns what a figure of the report is: a median with its spread, the exponent of a growth, the slope of a line.

export function quantile(values, share) {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * share;
  const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
  return low + (high - low) * (place % 1);
}

export const median = (values) => quantile(values, 0.5);

/** The median of the rounds' figures, with the least and the most of them. */
export function over(rounds) {
  if (rounds.length === 0) throw new Error("no round gave a figure");
  return { median: median(rounds), least: Math.min(...rounds), most: Math.max(...rounds), rounds };
}

/** The slope of the line of least squares through `[x, y]` points. */
export function slope(points) {
  const mean = (place) => points.reduce((sum, point) => sum + point[place], 0) / points.length;
  const [meanX, meanY] = [mean(0), mean(1)];
  let [above, below] = [0, 0];
  for (const [x, y] of points) {
    above += (x - meanX) * (y - meanY);
    below += (x - meanX) ** 2;
  }
  if (below === 0) throw new Error("a slope needs two different places");
  return above / below;
}

/** The `e` of `y = c·xᵉ`: 0 is flat, 1 grows alike, 2 with the square. */
export function exponent(points) {
  if (points.some(([x, y]) => !(x > 0) || !(y > 0))) throw new Error("an exponent needs positive figures");
  return slope(points.map(([x, y]) => [Math.log(x), Math.log(y)]));
}
