/** The agent or the shim is killed between any two steps of a call: what is left converges, and nothing leaks. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { type Mortal, startMortal } from './faults.ts';
import { createRig, NOTHING, type Rig, until } from './rig.ts';

const NEVER = Number.POSITIVE_INFINITY;
const FAMILIES = ['10.64.1.0/24', 'fd00:1::/64'];
const config = { runtimeConfig: { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] } };

async function nothingLeft(rig: Rig, when: string): Promise<void> {
  let left = await rig.left();
  const isNothing = async (): Promise<boolean> => {
    left = await rig.left();
    return JSON.stringify(left) === JSON.stringify(NOTHING);
  };
  await until(isNothing, () => `nothing is left ${when}: ${JSON.stringify(left)}`);
}

/** ADD works, and leaves what it should; then DEL, and nothing. */
async function worksAnew(rig: Rig, netns: string, when: string): Promise<void> {
  const added = await rig.call('ADD', { netns, config });
  assert.equal(added.code, 0, `${when}: ADD: ${added.stdout}`);
  const { links, addressFiles, stateFiles, hostPorts } = await rig.left();
  const counts = { links: links.length, addressFiles: addressFiles.length, stateFiles: stateFiles.length };
  assert.deepEqual(counts, { links: 1, addressFiles: 2, stateFiles: 1 }, when);
  assert.equal(hostPorts.length, 2, when);
  const checked = await rig.call('CHECK', { netns, config: { ...config, prevResult: added.json } });
  assert.equal(checked.code, 0, `${when}: CHECK: ${checked.stdout}`);
  const deleted = await rig.call('DEL', { netns, config });
  assert.equal(deleted.code, 0, `${when}: DEL: ${deleted.stdout}`);
  await nothingLeft(rig, `${when}, ADD and DEL later`);
}

/** Points of one undisturbed ADD and DEL. */
async function pointsOf(rig: Rig, netns: string): Promise<{ add: readonly string[]; del: readonly string[] }> {
  const mortal = await startMortal(rig, NEVER);
  assert.equal((await rig.call('ADD', { netns, config })).code, 0);
  await until(() => mortal.points.some((name) => name.startsWith('written net/last_reserved_ip.1')), 'ADD is over');
  const add = [...mortal.points];
  assert.equal((await rig.call('DEL', { netns, config })).code, 0);
  await nothingLeft(rig, 'after an undisturbed DEL');
  await until(() => mortal.points.at(-1) === 'removed state/H.removing', 'DEL is over');
  const del = mortal.points.slice(add.length);
  await mortal.end();
  return { add, del };
}

/** The undisturbed call and then each of its points: the loop covers what is there, not what somebody listed. */
test('the agent is killed at each point of ADD', async (t) => {
  const rig = await createRig(t, { podCidrs: FAMILIES });
  if (rig === undefined) return;
  const netns = await rig.pod('p');
  const { add } = await pointsOf(rig, netns);
  t.diagnostic(`${add.length} points: ${add.join(', ')}`);
  assert.ok(add.length >= 20, add.join(', '));
  for (const [at, name] of add.entries()) {
    const when = `after a kill at point ${at} (${name}) of ADD`;
    const mortal = await startMortal(rig, at);
    const answer = await rig.call('ADD', { netns, config });
    await until(mortal.isDead, `the agent is dead: ${when}`);
    await mortal.end();
    const again = await rig.start();
    if (answer.code === 0) {
      // The runtime has its answer, so the pod is there to stay.
      const checked = await rig.call('CHECK', { netns, config: { ...config, prevResult: answer.json } });
      assert.equal(checked.code, 0, `${when}: CHECK: ${checked.stdout}`);
      assert.equal((await rig.call('DEL', { netns, config })).code, 0, when);
    } else assert.equal(answer.json?.code, 11, `${when}: ${answer.stdout}`);
    await nothingLeft(rig, when);
    await worksAnew(rig, netns, when);
    await again.stop();
  }
});

test('the agent is killed at each point of DEL', async (t) => {
  const rig = await createRig(t, { podCidrs: FAMILIES });
  if (rig === undefined) return;
  const netns = await rig.pod('p');
  const { del } = await pointsOf(rig, netns);
  t.diagnostic(`${del.length} points: ${del.join(', ')}`);
  assert.ok(del.length >= 12, del.join(', '));
  for (const [at, name] of del.entries()) {
    const when = `after a kill at point ${at} (${name}) of DEL`;
    const first = await rig.start();
    assert.equal((await rig.call('ADD', { netns, config })).code, 0, when);
    await first.stop();
    const mortal = await startMortal(rig, at);
    const answer = await rig.call('DEL', { netns, config });
    await until(mortal.isDead, `the agent is dead: ${when}`);
    await mortal.end();
    const again = await rig.start();
    if (answer.code !== 0) assert.equal((await rig.call('DEL', { netns, config })).code, 0, when);
    await nothingLeft(rig, when);
    await worksAnew(rig, netns, when);
    await again.stop();
  }
});

/** Which of the shim's own steps there are is found by killing it at one after the other until it survives. */
test('the shim is killed at each of its steps of ADD', async (t) => {
  const rig = await createRig(t, { podCidrs: FAMILIES, defines: ['FAIRLEAD_STEPS'] });
  if (rig === undefined) return;
  const netns = await rig.pod('p');
  await rig.start();
  let killed = 0;
  for (; ; killed += 1) {
    const when = `after a kill of the shim at its step ${killed} of ADD`;
    const answer = await rig.call('ADD', { netns, config, env: { FAIRLEAD_SHIM_CRASH: String(killed) } });
    if (answer.code === 0) break;
    assert.equal(answer.code, 137, when);
    // Killed with the answer out and acknowledged it cannot be told from one that ended by itself: the runtime says DEL.
    if (answer.json?.interfaces !== undefined) assert.equal((await rig.call('DEL', { netns, config })).code, 0, when);
    await nothingLeft(rig, when);
  }
  assert.ok(killed >= 12, `${killed} steps`);
  assert.equal((await rig.call('DEL', { netns, config })).code, 0);
  await nothingLeft(rig, 'after the last DEL');
  await worksAnew(rig, netns, 'after all kills of the shim');
});

test('the shim is killed at each of its steps of DEL', async (t) => {
  const rig = await createRig(t, { podCidrs: FAMILIES, defines: ['FAIRLEAD_STEPS'] });
  if (rig === undefined) return;
  const netns = await rig.pod('p');
  await rig.start();
  let killed = 0;
  for (; ; killed += 1) {
    const when = `after a kill of the shim at its step ${killed} of DEL`;
    assert.equal((await rig.call('ADD', { netns, config })).code, 0, when);
    const answer = await rig.call('DEL', { netns, config, env: { FAIRLEAD_SHIM_CRASH: String(killed) } });
    if (answer.code === 0) break;
    assert.equal(answer.code, 137, when);
    assert.equal((await rig.call('DEL', { netns, config })).code, 0, when);
    await nothingLeft(rig, when);
  }
  assert.ok(killed >= 5, `${killed} steps`);
});

/** A seed that failed is run again by FAIRLEAD_CNI_SEED. More trials by FAIRLEAD_CNI_TRIALS. */
test('random kills of agent and shims under pods that come and go leak nothing', async (t) => {
  const rig = await createRig(t, { podCidrs: ['10.64.1.0/28'], defines: ['FAIRLEAD_STEPS'] });
  if (rig === undefined) return;
  const trials = Number(process.env['FAIRLEAD_CNI_TRIALS'] ?? 40);
  const seed = Number(process.env['FAIRLEAD_CNI_SEED'] ?? Date.now() % 1e9);
  t.diagnostic(`seed ${seed}, ${trials} trials`);
  const random = randomOf(seed);
  const pods = await Promise.all(['a', 'b', 'c', 'd'].map((name) => rig.pod(name)));
  for (let trial = 0; trial < trials; trial += 1)
    await oneTrial(rig, pods, random, `in trial ${trial} of seed ${seed}`);
});

async function oneTrial(rig: Rig, pods: readonly string[], random: () => number, when: string): Promise<void> {
  const below = (limit: number): number => Math.floor(random() * limit);
  let agent: Mortal = await startMortal(rig, random() < 0.8 ? below(60) : NEVER);
  for (let round = 0; round < 2; round += 1) {
    await Promise.all(
      pods.map(async (netns, at) => {
        const id = `pod${at}`;
        const port = { runtimeConfig: { portMappings: [{ hostPort: 8000 + at, containerPort: 80, protocol: 'udp' }] } };
        const env: Record<string, string> = random() < 0.2 ? { FAIRLEAD_SHIM_CRASH: String(below(14)) } : {};
        const command = random() < 0.6 ? 'ADD' : 'DEL';
        await rig.call(command, { id, netns, env, ...(random() < 0.5 ? { config: port } : {}) });
      }),
    );
    if (!agent.isDead()) continue;
    await agent.end();
    agent = await startMortal(rig, round === 0 ? below(60) : NEVER);
  }
  await agent.end();
  const last = await rig.start();
  for (const at of pods.keys()) {
    const deleted = await rig.call('DEL', { id: `pod${at}` });
    assert.equal(deleted.code, 0, `${when}: DEL: ${deleted.stdout}`);
  }
  await nothingLeft(rig, when);
  // All 13 addresses of a /28 can be had again: none is lost in memory or in files.
  await last.stop();
}

/** mulberry32 */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** The same by real processes and a real SIGKILL, at some of the points: the socket, too, is what a dead process leaves. */
test('a process that is killed for real is followed by one that converges', async (t) => {
  const rig = await createRig(t);
  if (rig === undefined) return;
  const netns = await rig.pod('p');
  let killed = 0;
  for (const killAt of [1, 3, 4, 5, 7, 9, 11, 13]) {
    const when = `after SIGKILL at point ${killAt} of a process`;
    const child = await startProcess(rig, killAt);
    const added = await rig.call('ADD', { netns });
    const deleted = added.code === 0 ? await rig.call('DEL', { netns }) : undefined;
    const ended = await child.ended(5_000);
    if (ended === 'SIGKILL') killed += 1;
    assert.equal(ended, 'SIGKILL', when);
    const again = await rig.start();
    if (deleted?.code !== 0) assert.equal((await rig.call('DEL', { netns })).code, 0, when);
    await nothingLeft(rig, when);
    await again.stop();
  }
  assert.equal(killed, 8);
});

async function startProcess(rig: Rig, killAt: number): Promise<{ ended(ms: number): Promise<string> }> {
  const { openRoute, ...options } = rig.options;
  const settings = {
    node: rig.netns.path('node'),
    sysctlRoot: rig.folder,
    podCidrs: ['10.64.1.0/24'],
    options,
    killAt,
  };
  const child = spawn(process.execPath, [join(import.meta.dirname, 'agent-process.ts')], {
    env: { ...process.env, FAIRLEAD_CNI_AGENT: JSON.stringify(settings) },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let signal = '';
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.once('exit', (code, by) => {
    signal = by ?? `exit ${code}`;
  });
  await until(() => text.includes('ready') || signal !== '', 'the process is ready', 60_000);
  return {
    async ended(ms) {
      await until(() => signal !== '', 'the process has ended', ms).catch(() => child.kill('SIGTERM'));
      await until(() => signal !== '', 'the process has ended');
      return signal;
    },
  };
}
