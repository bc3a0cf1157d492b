"""What a cluster and this machine need for Mainspring to work, each checked and said in one line with its fix."""
