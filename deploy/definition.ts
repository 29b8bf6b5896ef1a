/** A CustomResourceDefinition, as much of it as our kinds use (apiextensions.k8s.io/v1). */
export interface CustomResourceDefinition {
  readonly apiVersion: 'apiextensions.k8s.io/v1';
  readonly kind: 'CustomResourceDefinition';
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly names: {
      readonly kind: string;
      readonly listKind: string;
      readonly plural: string;
      readonly singular: string;
    };
    readonly scope: 'Namespaced' | 'Cluster';
    readonly versions: readonly Version[];
  };
}
export interface Version {
  readonly name: string;
  readonly served: boolean;
  readonly storage: boolean;
  readonly deprecated?: true;
  readonly deprecationWarning?: string;
  readonly additionalPrinterColumns?: readonly Column[];
  readonly schema: { readonly openAPIV3Schema: Schema };
  readonly subresources?: { readonly status: Readonly<Record<string, never>> };
}
export interface Column {
  readonly name: string;
  readonly type: string;
  readonly jsonPath: string;
  readonly priority?: number;
}
export type Schema = Readonly<Record<string, unknown>>;
