/**
 * `node deploy/iam.ts` writes the controller's IAM policy; with --cluster-name or --partition it prints one that is
 * narrower: for what one cluster made, or for China ('aws-cn') and GovCloud ('aws-us-gov').
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type PolicyOptions, policy } from '../providers/aws/iam.ts';

/** Path from the repository's root -> text. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([['deploy/kustomize/overlays/aws/iam-policy.json', textOf()]]);
}

function textOf(options: PolicyOptions = {}): string {
  return `${JSON.stringify(policy(options), undefined, 2)}\n`;
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { 'cluster-name': { type: 'string' }, partition: { type: 'string' } } });
  const { 'cluster-name': cluster, partition } = values;
  if (cluster !== undefined || partition !== undefined) {
    const options = {
      ...(cluster === undefined ? {} : { cluster }),
      ...(partition === undefined ? {} : { partition }),
    };
    process.stdout.write(textOf(options));
  } else {
    for (const [path, text] of generatedFiles()) {
      writeFileSync(join(import.meta.dirname, '..', path), text);
      process.stdout.write(`${path}\n`);
    }
  }
}
