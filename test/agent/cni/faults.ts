import { unlinkSync, writeFileSync } from 'node:fs';
import type { Caller } from '../../../src/agent/cni/caller.ts';
import { type Disk, disk, draftOf } from '../../../src/agent/cni/disk.ts';
import type { RouteChannel } from '../../../src/agent/netlink/channel.ts';
import type { HostPort } from '../../../src/core/net/host-port.ts';
import type { Rig, Running } from './rig.ts';

/** A part whose process dies at one point: from then on it changes nothing, and its connections are closed. */
export interface Mortal {
  readonly running: Running;
  /** Points passed so far. */
  readonly points: readonly string[];
  readonly isDead: () => boolean;
  /** Ends the part: as the kill did, if it came. */
  end(): Promise<void>;
}

/** Starts the part; the point number `at` (from 0, after the start) kills it. */
export async function startMortal(rig: Rig, at: number): Promise<Mortal> {
  const points: string[] = [];
  let dead = false;
  let armed = false;
  let stop = (): void => {};

  /** Before, between and after all that the part does to the world. */
  function point(name: string): void {
    if (dead) throw new Error('killed');
    if (!armed) return;
    points.push(name);
    if (points.length - 1 !== at) return;
    dead = true;
    stop();
    throw new Error(`killed at ${name}`);
  }
  const alive = (): void => {
    if (dead) throw new Error('killed');
  };

  function isKilledAt(name: string): boolean {
    try {
      point(name);
      return false;
    } catch {
      return true;
    }
  }

  const mortalDisk: Disk = {
    read(path) {
      alive();
      return disk.read(path);
    },
    list(folder) {
      alive();
      return disk.list(folder);
    },
    makeFolder(folder) {
      alive();
      disk.makeFolder(folder);
    },
    write(path, text) {
      point(`write ${short(path)}`);
      if (armed) writeFileSync(draftOf(path), text.slice(0, 10));
      point(`draft ${short(path)}`);
      disk.write(path, text);
      point(`written ${short(path)}`);
    },
    rename(from, to) {
      point(`rename ${short(from)} ${short(to)}`);
      disk.rename(from, to);
      point(`renamed ${short(from)} ${short(to)}`);
    },
    create(path, text) {
      point(`create ${short(path)}`);
      if (armed && disk.create(path, '')) {
        point(`created empty ${short(path)}`);
        unlinkSync(path);
      }
      const isCreated = disk.create(path, text);
      point(`created ${short(path)}`);
      return isCreated;
    },
    remove(path) {
      point(`remove ${short(path)}`);
      disk.remove(path);
      point(`removed ${short(path)}`);
    },
  };
  const route: RouteChannel = {
    ...rig.route,
    async send(messages) {
      const kinds = messages.map(({ kind }) => kind).join('+');
      point(`send ${kinds}`);
      const acks = await rig.route.send(messages);
      point(`sent ${kinds}`);
      return acks;
    },
    async links() {
      alive();
      return await rig.route.links();
    },
    async routes() {
      alive();
      return await rig.route.routes();
    },
    events: () => undefined,
  };
  const caller = (inner: Caller): Caller => ({
    ...inner,
    async exchange(steps) {
      point('plan');
      const reported = inner.exchange(steps);
      point('planned');
      const report = await reported;
      point('reported');
      return report;
    },
    async answer(exitCode, output) {
      // A dead process does not go on to say that it failed.
      if (isKilledAt('answer')) return await forEver;
      const isDelivered = await inner.answer(exitCode, output);
      return isKilledAt('answered') ? await forEver : isDelivered;
    },
  });
  const running = await rig.start(
    { effects: { disk: mortalDisk, caller } },
    {
      route,
      async written() {
        point('table');
        point('table written');
      },
      hostPorts(all: readonly HostPort[]) {
        if (!dead) Object.assign(rig.table, { hostPorts: all });
      },
    },
  );
  stop = () => void running.stop();
  armed = true;
  return { running, points, isDead: () => dead, end: () => running.stop() };
}

const forEver = new Promise<never>(() => {});

const short = (path: string): string =>
  path
    .split('/')
    .slice(-2)
    .join('/')
    .replace(/fl[0-9a-v]{11}/, 'H');
