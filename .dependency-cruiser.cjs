// The dependency rule of docs/architecture.md: core <- kube, work, agent, providers <- controllers, sandbox <- cli.
// Files of providers that decide: AWS's decisions are more than fit into the four usual ones.
const DECISIONS = [
  '^providers/[^/]+/(names|plan|diff|progress)[.]ts$',
  '^providers/aws/diff/',
  '^providers/aws/(annotation-table|annotations|attributes|guards|health|interpret|model|needs|node-rules|ownership)[.]ts$',
  '^providers/aws/(ports|quotas|replacement|resolve|rules|subnets|targets|weights|wishes)[.]ts$',
];

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'core-is-pure',
      comment: 'core decides; it has no IO, clock, randomness or logger. Only isIP of node:net.',
      severity: 'error',
      from: { path: '^src/core/' },
      to: { pathNot: ['^src/core/', '^(node:)?net$'] },
    },
    {
      name: 'no-provider-from-src',
      comment: 'A cloud SDK loads only when its provider is chosen: only src/cli/provider.ts imports providers.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/cli/' },
      to: { path: '^providers/' },
    },
    {
      name: 'providers-know-core-only',
      comment: 'Everything else comes to a provider through its ProviderContext.',
      severity: 'error',
      from: { path: '^providers/' },
      to: { path: '^src/', pathNot: '^src/core/' },
    },
    {
      name: 'provider-decisions-are-pure',
      severity: 'error',
      from: { path: DECISIONS },
      to: { pathNot: ['^src/core/', ...DECISIONS, '^(node:)?crypto$'] },
    },
    {
      name: 'floors',
      comment: 'kube, work and obs stand on core; they do not know controllers, sandbox or cli.',
      severity: 'error',
      from: { path: '^src/(kube|work|obs|agent)/' },
      to: { path: '^src/(controllers|sandbox|cli|main)' },
    },
    {
      name: 'cli-on-top',
      severity: 'error',
      from: { path: '^src/(controllers|sandbox)/' },
      to: { path: '^src/(cli|main)' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
    },
  },
};
