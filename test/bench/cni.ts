/**
 * The CNI plugin beside Debian's ptp with host-local, in the same run, turn by turn: ADD and DEL alone, 40 ADDs at once.
 * One bash starts the plugins and reads the clock around each, in the node's namespace; the agent is in this process.
 * Then addresses alone, in a pod CIDR of 65,536.
 * Reach (cni.md): ADD at most 0.5 of Go's, alone and 40 at once; DEL answered in at most 0.3; allocation O(1).
 */
import { spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createAddresses } from '../../src/core/cni/addresses.ts';
import { parseBlock } from '../../src/core/net/cidr.ts';
import { createRig } from '../agent/cni/rig.ts';

const GO = '/usr/lib/cni';
const TURNS = 30;
const ROUNDS = 5;
const AT_ONCE = 40;

const ends: (() => unknown)[] = [];
const rig = await createRig({
  after: (end: () => unknown) => void ends.unshift(end),
  skip: (why: string) => void process.stdout.write(`${why}\n`),
} as never);
if (rig !== undefined && existsSync(join(GO, 'ptp'))) {
  try {
    await rig.start();
    const pods = await Promise.all(Array.from({ length: AT_ONCE }, (_, at) => rig.pod(`p${at}`)));
    const cpu = process.cpuUsage();
    const samples = await measure(pods);
    const used = process.cpuUsage(cpu);
    process.stdout.write(`agent cpu ${(used.user + used.system) / 1000} ms\n`);
    report(samples);
  } finally {
    for (const end of ends) await end();
  }
} else process.stdout.write('left out: the CNI plugins in Go (apt-get install containernetworking-plugins), or root\n');
addresses();

type Samples = Map<string, number[]>; // 'ours add' -> milliseconds

async function measure(pods: readonly string[]): Promise<Samples> {
  if (rig === undefined) throw new TypeError('no rig');
  const file = (name: string, text: string): string => {
    const path = join(rig.folder, name);
    writeFileSync(path, text);
    return path;
  };
  const ipam = {
    type: 'host-local',
    dataDir: join(rig.folder, 'go'),
    ranges: [[{ subnet: '10.198.0.0/16' }]],
    routes: [{ dst: '0.0.0.0/0' }],
  };
  const theirs = file('theirs.json', JSON.stringify({ cniVersion: '1.0.0', name: 'go', type: 'ptp', ipam }));
  const ours = file('ours.json', JSON.stringify({ cniVersion: '1.0.0', name: 'net', type: 'fairlead' }));
  const script = file(
    'drive.sh',
    `export CNI_IFNAME=eth0 CNI_ARGS= CNI_PATH=${GO}
call() { # who command at
  CNI_COMMAND=$2 CNI_CONTAINERID=$1$3 CNI_NETNS=\${pods[$3]} "\${program[$1]}" <"\${config[$1]}" >>${rig.folder}/out 2>&1 || echo "failed $1 $2 $3"
}
now() { echo "\${EPOCHREALTIME/./}"; }
gone() { while ip -o link | grep -qE ': (fl|veth)'; do :; done; }
declare -A program=([theirs]=${GO}/ptp [ours]=${join(rig.options.binDir, rig.options.plugin)})
declare -A config=([theirs]=${theirs} [ours]=${ours})
pods=(${pods.join(' ')})
for turn in $(seq ${TURNS}); do for who in theirs ours; do for command in ADD DEL; do
  from=$EPOCHREALTIME; call $who $command 0; to=$EPOCHREALTIME
  echo "$who $command $((\${to/./} - \${from/./}))"
done; gone; done; done
for round in $(seq ${ROUNDS}); do for who in theirs ours; do for command in ADD DEL; do
  from=$EPOCHREALTIME; for at in $(seq 0 ${AT_ONCE - 1}); do call $who $command $at & done; wait; to=$EPOCHREALTIME
  echo "$who ${AT_ONCE}x$command $((\${to/./} - \${from/./}))"
done; gone; done; done
`,
  );
  const child = spawn('nsenter', [`--net=${rig.netns.path('node')}`, 'bash', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  await new Promise((resolve) => child.once('close', resolve));
  const samples: Samples = new Map();
  for (const line of text.trim().split('\n')) {
    const [who = '', what = '', microseconds = ''] = line.split(' ');
    if (who === 'failed') throw new Error(line);
    const key = `${who} ${what}`;
    samples.set(key, [...(samples.get(key) ?? []), Number(microseconds) / 1000]);
  }
  return samples;
}

function report(samples: Samples): void {
  const median = (key: string): number => {
    const sorted = (samples.get(key) ?? []).toSorted((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  };
  for (const [what, reach] of [
    ['ADD', 0.5],
    ['DEL', 0.3],
    [`${AT_ONCE}xADD`, 0.5],
    [`${AT_ONCE}xDEL`, 0.3],
  ] as const) {
    const [ours, theirs] = [median(`ours ${what}`), median(`theirs ${what}`)];
    const ratio = ours / theirs;
    process.stdout.write(
      `${what.padEnd(7)} p50 ours ${ours.toFixed(1)} ms, ptp + host-local ${theirs.toFixed(1)} ms: ${ratio.toFixed(2)}x (reach ${reach}x)${ratio > reach ? '  MISSED' : ''}\n`,
    );
  }
}

function addresses(): void {
  const block = parseBlock('10.64.0.0/16');
  const space = block === undefined ? undefined : createAddresses(block);
  if (space === undefined) throw new TypeError('no addresses');
  const size = Number(space.size);
  const timed = (name: string, count: number, run: () => void): void => {
    const from = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(from);
    process.stdout.write(`${name.padEnd(38)} ${((user + system) / count).toFixed(2)} us each\n`);
  };
  timed(`${size} allocated, empty to full`, size, () => {
    for (let at = 0; at < size; at += 1) space.allocate(`pod${at}`);
  });
  const last = '10.64.128.7';
  timed('one released and allocated in a full one', 100_000, () => {
    let address = last;
    for (let at = 0; at < 100_000; at += 1) {
      space.release(address, space.ownerOf(address) ?? '');
      address = space.allocate('again') ?? last;
    }
  });
}
