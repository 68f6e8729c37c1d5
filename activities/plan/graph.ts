/** Order of steps: who needs whom, circles, and what certainly ended before a step begins. */

export interface GraphNode {
  readonly id: string;
  readonly needs: readonly string[];
}

/** The ids of one circle, or undefined. */
export function findCircle(nodes: readonly GraphNode[]): string[] | undefined {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const done = new Set<string>();
  const trail: string[] = [];
  const visit = (id: string): string[] | undefined => {
    if (done.has(id)) return undefined;
    const at = trail.indexOf(id);
    if (at >= 0) return [...trail.slice(at), id];
    trail.push(id);
    for (const need of byId.get(id)?.needs ?? []) {
      const circle = byId.has(need) ? visit(need) : undefined;
      if (circle !== undefined) return circle;
    }
    trail.pop();
    done.add(id);
    return undefined;
  };
  for (const { id } of nodes) {
    const circle = visit(id);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

/** Every step that has ended when `id` begins. Safe with circles. */
export function ancestors(nodes: readonly GraphNode[], id: string): Set<string> {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const found = new Set<string>();
  const queue = [...(byId.get(id)?.needs ?? [])];
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
    if (found.has(next)) continue;
    found.add(next);
    queue.push(...(byId.get(next)?.needs ?? []));
  }
  return found;
}
