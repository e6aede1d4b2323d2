-- How many write() calls of the engine failed since the process began; no row while none did.
SELECT value FROM system.events WHERE event='WriteBufferFromFileDescriptorWriteFailed'
