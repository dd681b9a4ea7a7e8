"""What synchronized batch norm needs: the exchange between ranks, its gradients, and who is absent."""
