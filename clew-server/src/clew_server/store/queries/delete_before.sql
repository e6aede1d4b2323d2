-- Rewrites the day's parts, so that the bytes leave the disk. Not waited for here: over a damaged part it would never end.
ALTER TABLE TABLE_NAME DELETE IN PARTITION {day:String} WHERE received<toDateTime({before_s:UInt32},'UTC') SETTINGS mutations_sync=0
