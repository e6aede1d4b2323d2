KILL QUERY WHERE Settings['log_comment']={mark:String} ASYNC
