import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { ProviderError } from '../../src/core/errors.ts';
import { createLog, type LogOptions } from '../../src/obs/log.ts';

function lines(options: LogOptions, write: (log: ReturnType<typeof createLog>) => void): Record<string, unknown>[] {
  const written: string[] = [];
  write(createLog({ ...options, destination: { write: (line) => written.push(line) } }));
  for (const line of written) assert.match(line, /^[^\n]+\n$/);
  return written.map((line) => {
    const { time, ...rest } = JSON.parse(line) as Record<string, unknown>;
    assert.match(String(time), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
    return rest;
  });
}

test('a line is one JSON object with level, fields and message, and nothing about this machine', () => {
  assert.deepEqual(
    lines({}, (log) => log.info({ key: 'web/shop', action: 'openPort' }, 'apply')),
    [{ level: 'info', key: 'web/shop', action: 'openPort', msg: 'apply' }],
  );
});

test('lines below the level are not written', () => {
  const write = (log: ReturnType<typeof createLog>): void => {
    for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level]({}, level);
  };
  const shown = (level: NonNullable<LogOptions['level']>): unknown[] => lines({ level }, write).map(({ msg }) => msg);
  assert.deepEqual(shown('debug'), ['debug', 'info', 'warn', 'error']);
  assert.deepEqual(shown('warn'), ['warn', 'error']);
  assert.deepEqual(
    lines({}, write).map(({ msg }) => msg),
    ['info', 'warn', 'error'],
  );
});

test("a child's fields are in each of its lines, its own child's too", () => {
  const written = lines({}, (log) => {
    const run = log.child({ controller: 'service' }).child({ key: 'web/shop' });
    run.warn({ reason: 'pool' }, 'held');
    log.info({}, 'parent');
  });
  assert.deepEqual(written, [
    { level: 'warn', controller: 'service', key: 'web/shop', reason: 'pool', msg: 'held' },
    { level: 'info', msg: 'parent' },
  ]);
});

for (const field of ['err', 'error']) {
  test(`an error under \`${field}\` tells its class, code, stack and cause`, () => {
    const error = new ProviderError('invalid', 'FL_X', 'spec.ports: empty', {
      field: 'spec.ports',
      cause: new Error('the reason below'),
    });
    const [line] = lines({}, (log) => log.warn({ [field]: error }, 'failed'));
    const written = line?.[field] as Record<string, unknown>;
    assert.deepEqual(
      [written['type'], written['kind'], written['code'], written['field']],
      ['ProviderError', 'invalid', 'FL_X', 'spec.ports'],
    );
    assert.match(String(written['stack']), /log\.test\.ts/);
    assert.match(JSON.stringify(written), /the reason below/);
  });
}

test('what JSON cannot say does not lose the line', () => {
  const circle: Record<string, unknown> = { name: 'circle' };
  circle['self'] = circle;
  const written = lines({}, (log) => {
    log.info({ circle }, 'circular');
    log.info({ big: 2n ** 60n }, 'bigint');
  });
  assert.deepEqual(
    written.map(({ msg }) => msg),
    ['circular', 'bigint'],
  );
});

const logModule = JSON.stringify(new URL('../../src/obs/log.ts', import.meta.url).href);

test('a reader that goes away does not end the process', async () => {
  const script = `
    const { createLog } = await import(${logModule});
    const log = createLog();
    log.info({}, 'first');
    await new Promise((resolve) => process.stdin.once('data', resolve));
    for (let line = 0; line < 100; line += 1) log.info({ line }, 'nobody reads this');
    process.exit(3);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { timeout: 20_000 });
  await once(child.stdout, 'data');
  child.stdout.destroy();
  await once(child.stdout, 'close');
  child.stdin.write('go');
  assert.deepEqual(await once(child, 'exit'), [3, null]);
});

test('lines are on standard output before the process is gone', () => {
  const script = `
    const { createLog } = await import(${logModule});
    const log = createLog();
    for (let line = 0; line < 500; line += 1) log.info({ line }, 'counted');
    process.exit(3);`;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 20_000,
  });
  assert.equal(status, 3);
  assert.equal(stdout.trimEnd().split('\n').length, 500);
});
