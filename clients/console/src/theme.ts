import { useSyncExternalStore } from 'react';

export type Theme = 'system' | 'light' | 'dark';
const PLACE = 'aitbc.theme';
const listeners = new Set<() => void>();

const read = (): Theme => {
  const kept = localStorage.getItem(PLACE);
  return kept === 'light' || kept === 'dark' ? kept : 'system';
};
const show = (theme: Theme): void => {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
};

export const setTheme = (theme: Theme): void => {
  if (theme === 'system') localStorage.removeItem(PLACE);
  else localStorage.setItem(PLACE, theme);
  show(theme);
  for (const listener of listeners) listener();
};
export const useTheme = (): Theme =>
  useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, read);

show(read());
