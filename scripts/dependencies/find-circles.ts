/** The nodes to which each node has an edge. */
export type Graph = ReadonlyMap<string, readonly string[]>;

/**
 * Finds the cycles of a graph. For each set of mutually reachable nodes it returns one cycle, the shortest through the
 * first node. A cycle is a path that ends where it starts. The result is empty exactly if the graph has no cycles.
 */
export function findCircles(graph: Graph): readonly (readonly string[])[] {
  const circles: (readonly string[])[] = [];
  const done = new Set<string>();
  for (const node of graph.keys()) {
    if (done.has(node)) continue;
    const circle = shortestCircle(graph, node);
    if (!circle) continue;
    circles.push(circle);
    // Starting at other nodes of this set would report the same cycles again.
    const reached = reachableFrom(graph, node);
    for (const other of reached) if (reachableFrom(graph, other).has(node)) done.add(other);
  }
  return circles;
}

function shortestCircle(graph: Graph, start: string): readonly string[] | undefined {
  const trails: string[][] = [[start]];
  const seen = new Set<string>();
  for (const trail of trails) {
    for (const next of graph.get(trail.at(-1) ?? start) ?? []) {
      if (next === start) return [...trail, start];
      if (seen.has(next)) continue;
      seen.add(next);
      trails.push([...trail, next]);
    }
  }
  return undefined;
}

function reachableFrom(graph: Graph, start: string): ReadonlySet<string> {
  const reached = new Set<string>();
  const waiting = [start];
  for (const node of waiting) {
    for (const next of graph.get(node) ?? []) {
      if (reached.has(next)) continue;
      reached.add(next);
      waiting.push(next);
    }
  }
  return reached;
}
