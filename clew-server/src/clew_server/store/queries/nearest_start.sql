-- Where the next window begins: the oldest and the newest start there is between two times.
SELECT count(), toUnixTimestamp64Nano(min(start)), toUnixTimestamp64Nano(max(start)) FROM traces WHERE start>=NS({from_ns:Int64}) AND start<NS({to_ns:Int64})
