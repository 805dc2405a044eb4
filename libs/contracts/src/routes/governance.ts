export const governanceRoutes = {} as const;
