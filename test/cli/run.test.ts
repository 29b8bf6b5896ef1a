import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { commands, runCli } from '../../src/cli/run.ts';
import { fakeTerminal } from './terminal.ts';

test('without a word: the overview on standard error, exit 2; --help: on standard output, exit 0', async () => {
  const [nothing, help] = [fakeTerminal(), fakeTerminal()];
  assert.equal(await runCli([], nothing), 2);
  assert.equal(await runCli(['--help'], help), 0);
  assert.equal(nothing.err(), help.out());
  for (const name of Object.keys(commands)) assert.match(help.out(), new RegExp(`^  ${name} `, 'm'));
});

for (const name of Object.keys(commands)) {
  test(`${name} --help shows usage, examples and every flag that is not hidden`, async () => {
    const terminal = fakeTerminal();
    assert.equal(await runCli([name, '--help'], terminal), 0);
    assert.match(terminal.out(), new RegExp(`Usage: fairlead ${name}`));
    assert.match(terminal.out(), /Examples:\n {2}\S/);
    const { flags } = await (commands[name] as (typeof commands)[string])();
    for (const flag of flags) assert.equal(terminal.out().includes(`--${flag.name}`), flag.hidden !== true, flag.name);
  });
}

test('a wrong command is told the nearest one, exit 2', async () => {
  const terminal = fakeTerminal();
  assert.equal(await runCli(['contoller'], terminal), 2);
  assert.equal(terminal.err(), 'error: "contoller" is no command; did you mean "controller"?; see fairlead --help\n');
});

test('a name that every object has is no command', async () => {
  assert.equal(await runCli(['toString'], fakeTerminal()), 2);
});

test('--version names a version', async () => {
  const terminal = fakeTerminal();
  assert.equal(await runCli(['--version'], terminal), 0);
  assert.match(terminal.out(), /^fairlead \d+\.\d+\.\d+/);
});

test('controller names every problem of its flags at once', async () => {
  const terminal = fakeTerminal();
  const argv = [
    'controller',
    '--controllers=service,route,nope',
    '--route-reconciliation-period=10ms',
    '--leader-elect-renew-deadline=20s',
    '--tls-cert-file=x',
    '--webhook-key-file=x',
    '--use-service-account-credentials',
  ];
  assert.equal(await runCli(argv, terminal), 2);
  assert.deepEqual(terminal.err().trimEnd().split('\n'), [
    'error: --provider is missing; write --provider=onprem',
    'error: --leader-elect-lease-duration must be longer than --leader-elect-renew-deadline',
    'error: --tls-cert-file and --tls-private-key-file go together',
    'error: --webhook-cert-file and --webhook-key-file go together',
    'error: --use-service-account-credentials=true is not supported: Fairlead has one ServiceAccount',
    'error: --route-reconciliation-period must be at least 1s',
    'error: --controllers: "nope" is none of service, route, cloud-node, cloud-node-lifecycle',
  ]);
});

const clusterCidrs: readonly (readonly [text: string, problem: string])[] = [
  ['10.244.0.0', 'holds "10.244.0.0", which is no CIDR such as 10.244.0.0/16'],
  ['10.244.0.0/16,nope', 'holds "nope", which is no CIDR such as 10.244.0.0/16'],
  ['10.0.0.0/9,10.244.0.0/16', 'has more than one range of an IP family; write 10.244.0.0/16,fd00:10:244::/56'],
  ['10.0.0.0/9,fd00::/56,fe00::/56', 'has more than one range of an IP family; write 10.244.0.0/16,fd00:10:244::/56'],
];
for (const [text, problem] of clusterCidrs) {
  test(`controller refuses --cluster-cidr=${text}`, async () => {
    const terminal = fakeTerminal();
    assert.equal(await runCli(['controller', '--provider=memory', `--cluster-cidr=${text}`], terminal), 2);
    assert.equal(terminal.err(), `error: --cluster-cidr: "${text}" ${problem}\n`);
  });
}

test('flags of one provider are refused for another', async () => {
  const terminal = fakeTerminal({ env: {}, cwd: import.meta.dirname });
  assert.equal(
    await runCli(['controller', '--provider=memory', '--metallb-namespace=x', '--master=http://127.0.0.1:1'], terminal),
    2,
  );
  assert.match(terminal.err(), /--metallb-namespace belongs to --provider=onprem/);
});

const shells: readonly { readonly shell: string; readonly check: readonly string[] }[] = [
  { shell: 'bash', check: ['bash', '-n'] },
  { shell: 'zsh', check: ['zsh', '-n'] },
  { shell: 'fish', check: ['fish', '-n'] },
];
for (const { shell, check } of shells) {
  test(`completion ${shell} knows every command and flag, and is a program of that shell where it is installed`, async (t) => {
    const terminal = fakeTerminal();
    assert.equal(await runCli(['completion', shell], terminal), 0);
    for (const [name, open] of Object.entries(commands)) {
      assert.ok(terminal.out().includes(name), name);
      for (const flag of (await open()).flags)
        if (flag.hidden !== true) assert.ok(terminal.out().includes(flag.name), flag.name);
    }
    const [program = '', ...args] = check;
    const { error, status, stderr } = spawnSync(program, args, { input: terminal.out(), encoding: 'utf8' });
    if (error !== undefined) t.diagnostic(`${program} is not installed here: the syntax was not checked`);
    else assert.equal(status, 0, stderr);
  });
}

test('bash completes commands, and the flags of a command', async () => {
  const terminal = fakeTerminal();
  await runCli(['completion', 'bash'], terminal);
  const complete = (words: readonly string[]) =>
    spawnSync(
      'bash',
      [
        '-c',
        `${terminal.out()}\nCOMP_WORDS=(${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length - 1}; _fairlead; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ],
      { encoding: 'utf8' },
    )
      .stdout.trim()
      .split('\n');
  assert.deepEqual(complete(['fairlead', 'pl']), ['plan']);
  assert.deepEqual(complete(['fairlead', 'gc', '--rel']), ['--release-all']);
  assert.deepEqual(complete(['fairlead', 'completion', 'z']), ['zsh']);
});
