KILL MUTATION WHERE database=currentDatabase() AND table={table:String} AND NOT is_done SYNC
