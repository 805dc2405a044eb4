export const marketRoutes = {} as const;
