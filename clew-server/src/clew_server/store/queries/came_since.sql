-- Has any row of a trace come since then? Parts that are older are not looked at.
SELECT count()>0 FROM traces WHERE received>=toDateTime({since_s:UInt32},'UTC')
