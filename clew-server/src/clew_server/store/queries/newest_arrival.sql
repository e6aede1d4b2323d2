SELECT count(), toUInt32(max(received)) FROM chunks WHERE received<=toDateTime({until_s:UInt32},'UTC')
