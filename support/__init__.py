"""The domain: conversations, the chat, help articles, staff and monitoring."""
