import { readdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

/** Where deploy/ is: beside src in the repository, beside the bundle in the package. */
const deploy = fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? '../../deploy/' : './deploy/', import.meta.url));

/** The CRDs that an on-prem cluster needs, ours and MetalLB's, as paths of YAML files. */
export async function crdFiles(): Promise<readonly string[]> {
  return [...(await yamlFiles('crds/')), ...(await yamlFiles('kustomize/components/metallb-crds/'))];
}

/** The examples, in the order of their names, pools first. */
export async function exampleFiles(): Promise<readonly string[]> {
  const files = await yamlFiles('examples/');
  return files.toSorted((a, b) => Number(!a.endsWith('/pools.yaml')) - Number(!b.endsWith('/pools.yaml')));
}

/** Pods behind the examples, for a demo with nodes. */
export const workloadFiles = (): Promise<readonly string[]> => yamlFiles('examples/workloads/');

async function yamlFiles(folder: string): Promise<readonly string[]> {
  const names = await readdir(`${deploy}${folder}`);
  return names
    .filter((name) => name.endsWith('.yaml') && name !== 'kustomization.yaml')
    .sort()
    .map((name) => `${deploy}${folder}${name}`);
}
