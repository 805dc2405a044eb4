/**
 * Preloaded (`--import`) into every process that is started from here. When the parent dies, however it dies,
 * the channel to it closes; the process then ends by the way it knows, SIGTERM, and by force if that takes long.
 */
process.once('disconnect', () => {
  // The parent read the output too. Losing a line is better than dying of it half-way through a drain.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  setTimeout(() => process.kill(process.pid, 'SIGKILL'), 12_000).unref();
  process.kill(process.pid, 'SIGTERM');
});
// Listening alone must not keep a process alive that has nothing left to do.
process.channel?.unref();
