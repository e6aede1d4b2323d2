SELECT latest_fail_reason FROM system.mutations WHERE database=currentDatabase() AND table={table:String} AND NOT is_done
