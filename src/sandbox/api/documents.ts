import { createHash } from 'node:crypto';
import { openApiDocument, openApiIndex, type ServedKind } from './openapi.ts';
import type { Catalogue, Resource } from './resources.ts';

/** /openapi/v3: one document per group and version, made when asked for and kept until the kinds change. */
export interface OpenApi {
  index(): string;
  /** Undefined for a version that is not served. */
  document(group: string, version: string): string | undefined;
}

export function createOpenApi(catalogue: Catalogue): OpenApi {
  let of: readonly Resource[] | undefined;
  const documents = new Map<string, string>();
  const document = (group: string, version: string): string | undefined => {
    if (of !== catalogue.all()) {
      documents.clear();
      of = catalogue.all();
    }
    const key = `${group}/${version}`;
    const known = documents.get(key);
    if (known !== undefined) return known;
    const kinds = of.filter((resource) => resource.group === group && resource.version === version).map(servedKind);
    const made = kinds.length === 0 ? undefined : openApiDocument(group, version, kinds);
    if (made === undefined) return undefined;
    const text = JSON.stringify(made);
    documents.set(key, text);
    return text;
  };
  return {
    document,
    index() {
      const versions = new Map(
        catalogue.all().map(({ group, version }) => [`${group}/${version}`, { group, version }]),
      );
      return JSON.stringify(
        openApiIndex(
          [...versions.values()].map(({ group, version }) => ({
            group,
            version,
            hash: createHash('sha256')
              .update(document(group, version) ?? '')
              .digest('hex')
              .slice(0, 32)
              .toUpperCase(),
          })),
        ),
      );
    },
  };
}

function servedKind({ kind, plural, namespaced, custom, verbs, subresources }: Resource): ServedKind {
  return {
    kind,
    plural,
    namespaced,
    verbs,
    subresources: subresources.filter((one) => one.kind === undefined).map(({ name }) => name),
    ...(custom === undefined ? {} : { crdSchema: custom.schema }),
  };
}
