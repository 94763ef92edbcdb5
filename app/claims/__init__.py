"""Claims: how claimants are paid what vouchers redeemed, with proofs; and the reserve fund advanced to suppliers."""
