/** Rules and elements of a representative world, byte for byte; UPDATE_GOLDEN=1 writes the files anew. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { rulesetText } from '../../../src/core/proxy/ruleset.ts';
import { lines, planner } from './fixture.ts';
import { representative } from './representative.ts';
import { LOCAL_PODS, POD_CIDRS, SERVICE_CIDRS } from './world.ts';

function check(name: string, text: string): void {
  const folder = join(import.meta.dirname, 'golden');
  const path = join(folder, name);
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(folder, { recursive: true });
    writeFileSync(path, text);
  }
  assert.equal(text, readFileSync(path, 'utf8'), `${path} differs; UPDATE_GOLDEN=1 writes it anew`);
}

/** Of 251 hashed slots the first few tell enough, with their number. */
function abridged(all: readonly string[]): readonly string[] {
  const counts = new Map<string, number>(); // frontend -> slots so far
  return all.flatMap((line) => {
    const frontend = /^endpoints \{ (.*) \. [0-9a-f]+:[0-9a-f]+ : /.exec(line)?.[1];
    if (frontend === undefined) return [line];
    const count = (counts.get(frontend) ?? 0) + 1;
    counts.set(frontend, count);
    return count <= 8 ? [line] : [];
  });
}

for (const family of ['ip', 'ip6'] as const) {
  test(`rules and elements of ${family}`, () => {
    const from = planner(family);
    const models = representative();
    from.plan(models.map((model) => [model.key, model] as const));
    from.planRanges('pod-cidrs', POD_CIDRS);
    from.planRanges('svc-cidrs', SERVICE_CIDRS);
    from.planRanges('local-pods', LOCAL_PODS);
    from.planRanges('no-masq', POD_CIDRS);
    const options = { family, masqueradeAll: false, detectLocal: { by: 'cidr' }, masqueradePods: true } as const;
    check(`${family}.nft`, rulesetText({ ...options, chains: from.chains(), timeouts: from.timeouts() }));
    const elements = lines(from.elements(), family);
    check(`${family}.elements`, `${abridged(elements).join('\n')}\n# ${elements.length} elements\n`);
  });
}
