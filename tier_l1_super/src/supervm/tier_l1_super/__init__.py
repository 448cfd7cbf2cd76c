"""SuperVM L1: datacenter validators that agree, execute and certify."""
