-- No span of a trace that starts in the window starts after this.
SELECT count(), toUnixTimestamp64Nano(max(end)) FROM traces
WHERE STARTED
