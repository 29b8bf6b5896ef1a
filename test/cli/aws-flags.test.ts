import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseConfig } from '../../providers/aws/config.ts';
import { awsFlags } from '../../src/cli/aws-flags.ts';
import { InputError } from '../../src/cli/command.ts';
import { controllerFlags } from '../../src/cli/flag-table.ts';
import { parseFlags } from '../../src/cli/flags.ts';
import { providerConfig } from '../../src/cli/provider-config.ts';

const configOf = async (argv: readonly string[], cwd = '/') =>
  await providerConfig(parseFlags(argv, controllerFlags, 0), { cwd });

test('only what was given goes to the provider, under the names that it knows', async () => {
  const config = await configOf([
    '--provider=aws',
    '--aws-region=eu-west-1',
    '--aws-vpc-tags=Name=prod,team=net\\,ops',
    '--enable-backend-security-group=false',
    '--external-managed-tags=cost, owner',
    '--max-targets-per-target-group=100',
  ]);
  assert.deepEqual(config, {
    'aws-region': 'eu-west-1',
    'aws-vpc-tags': { Name: 'prod', team: 'net,ops' },
    'enable-backend-security-group': false,
    'external-managed-tags': ['cost', 'owner'],
    'max-targets-per-target-group': 100,
  });
  assert.deepEqual(parseConfig(config).vpc, { tags: { Name: 'prod', team: 'net,ops' } });
});

test('the default of each flag is the one of the provider', () => {
  const defaults = Object.fromEntries(
    awsFlags.flatMap(({ name, default: text, parse }) => (text === undefined ? [] : [[name, parse(text)]])),
  );
  assert.deepEqual(parseConfig(defaults), parseConfig({}));
});

test('the in-tree provider’s file goes to the provider as it is', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'fairlead-aws-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'cloud.conf'), '[Global]\nVPC = vpc-1\n');
  const config = await configOf(['--provider=aws', '--cloud-config=cloud.conf'], folder);
  assert.deepEqual(config, { cloudConfig: { file: 'cloud.conf', text: '[Global]\nVPC = vpc-1\n' } });
  await assert.rejects(configOf(['--provider=aws', '--cloud-config=none.conf'], folder), /--cloud-config: none.conf/);
});

test('flags of one provider are refused with another', async () => {
  await assert.rejects(
    configOf(['--provider=memory', '--aws-region=eu-west-1', '--default-target-type=ip']),
    (error) => {
      assert.ok(error instanceof InputError);
      assert.deepEqual(error.problems, [
        '--aws-region belongs to --provider=aws',
        '--default-target-type belongs to --provider=aws',
      ]);
      return true;
    },
  );
  await assert.rejects(configOf(['--provider=aws', '--ipam=./x.js']), /--ipam belongs to --provider=onprem/);
});

test('a wrong value is named with the right form', () => {
  assert.throws(
    () => parseFlags(['--default-tags=team'], awsFlags, 0),
    /--default-tags: "team" has "team" without "="/,
  );
  assert.throws(() => parseFlags(['--default-target-type=pod'], awsFlags, 0), /is none of instance, ip/);
});
